//! Scattered numbers, each told from its neighbours: which of 32 in a row are meant is a word of bits.

use super::ranges::jump_here;
use super::{ACCEPT, Instruction, code};

/// Which of the 32 numbers from `32 * key` on are meant, the first one by the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    key: u32,
    bits: u32,
}

/// The blocks that hold these numbers, which are in order.
pub(super) fn blocks(numbers: &[u32]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for number in numbers {
        let (key, bit) = (number / 32, 1 << (number % 32));
        match blocks.last_mut() {
            Some(last) if last.key == key => last.bits |= bit,
            _ => blocks.push(Block { key, bits: bit }),
        }
    }
    blocks
}

/// Accepts if the word of the frame at `at` is a number of one of the blocks, else goes on behind.
pub(super) fn search(at: u32, blocks: &[Block], program: &mut Vec<Instruction>) {
    let Some(first) = blocks.first() else { return };
    // The bit in the second register, the block in the first one.
    program.push(Instruction::new(code::LOAD_WORD, at));
    program.push(Instruction::new(code::AND, 31));
    program.push(Instruction::new(code::TO_SECOND, 0));
    program.push(Instruction::new(code::LOAD_WORD, at));
    program.push(Instruction::new(code::SUBTRACT, first.key * 32));
    program.push(Instruction::new(code::SHIFT_RIGHT, 5));
    let mut ends = Ends::default();
    tree(&steps(blocks, first.key), program, &mut ends);
    for found in ends.found {
        jump_here(program, found);
    }
    program.push(Instruction::new(code::SHIFT_RIGHT_BY_SECOND, 0));
    program.push(Instruction::new(code::AND, 1));
    program.push(Instruction { jf: 1, ..Instruction::new(code::IF_EQUAL, 1) });
    program.push(Instruction::new(code::RETURN, ACCEPT));
    for missed in ends.missed {
        jump_here(program, missed);
    }
}

/// From a key on, these bits; none is what lies between blocks.
struct Step {
    key: u32,
    bits: Option<u32>,
}

fn steps(blocks: &[Block], base: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(blocks.len() + 1);
    let mut next = 0;
    for block in blocks {
        let key = block.key - base;
        if key > next {
            steps.push(Step { key: next, bits: None });
        }
        steps.push(Step { key, bits: Some(block.bits) });
        next = key + 1;
    }
    steps.push(Step { key: next, bits: None });
    steps
}

/// Jumps out of the tree, whose ends are not known while it is built.
#[derive(Default)]
struct Ends {
    /// With the bits loaded.
    found: Vec<usize>,
    missed: Vec<usize>,
}

/// How many steps take less than the 255 instructions that a comparison can jump over.
const NEAR: usize = 60;

fn tree(steps: &[Step], program: &mut Vec<Instruction>, ends: &mut Ends) {
    let (left, right) = steps.split_at(steps.len() / 2);
    let pivot = match (left, right) {
        ([_, ..], [pivot, ..]) => pivot.key,
        (_, [Step { bits: Some(bits), .. }]) => {
            program.push(Instruction::new(code::LOAD_VALUE, *bits));
            ends.found.push(program.len());
            return program.push(Instruction::new(code::JUMP, 0));
        }
        _ => {
            ends.missed.push(program.len());
            return program.push(Instruction::new(code::JUMP, 0));
        }
    };
    let comparison = program.len();
    let is_near = left.len() <= NEAR;
    program
        .push(Instruction { jf: u8::from(!is_near), ..Instruction::new(code::IF_GREATER_OR_EQUAL, pivot) });
    if is_near {
        tree(left, program, ends);
        program[comparison].jt = u8::try_from(program.len() - comparison - 1).unwrap_or(u8::MAX);
    } else {
        program.push(Instruction::new(code::JUMP, 0));
        tree(left, program, ends);
        jump_here(program, comparison + 1);
    }
    tree(right, program, ends);
}
