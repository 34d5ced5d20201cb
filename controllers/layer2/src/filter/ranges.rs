//! Sets of numbers as few ranges, and the search in them.

use super::{Instruction, code};

/// Numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) low: u32,
    pub(super) high: u32,
}

/// At most this many ranges, in order, that hold all the numbers. Where more are needed, those with the least between
/// them become one.
pub(super) fn aggregate(mut numbers: Vec<u32>, most: usize) -> Vec<Range> {
    numbers.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if number <= last.high.saturating_add(1) => last.high = number,
            _ => ranges.push(Range { low: number, high: number }),
        }
    }
    let surplus = ranges.len().saturating_sub(most);
    if surplus == 0 {
        return ranges;
    }
    let mut gaps: Vec<(u32, usize)> =
        ranges.windows(2).zip(1..).map(|(pair, at)| (pair[1].low - pair[0].high, at)).collect();
    gaps.sort_unstable();
    let mut joined = vec![false; ranges.len()];
    gaps.iter().take(surplus).for_each(|&(_, at)| joined[at] = true);
    let mut fewer: Vec<Range> = Vec::with_capacity(most);
    for (range, joined) in ranges.into_iter().zip(joined) {
        match fewer.last_mut() {
            Some(last) if joined => last.high = range.high,
            _ => fewer.push(range),
        }
    }
    fewer
}

/// How many ranges are searched with jumps of 8 bits.
const NEAR: usize = 60;

/// Accepts if the word of the frame at `at` is in one of the ranges, else goes on behind.
pub(super) fn search(at: u32, ranges: &[Range], program: &mut Vec<Instruction>) {
    let Some(first) = ranges.first() else { return };
    program.push(Instruction::new(code::LOAD_WORD, at));
    // Small numbers: the kernel needs two instructions for a comparison with one of which the highest bit is set.
    let base = first.low;
    program.push(Instruction::new(code::SUBTRACT, base));
    let ranges: Vec<_> =
        ranges.iter().map(|range| Range { low: range.low - base, high: range.high - base }).collect();
    let mut misses = Vec::new();
    split(&ranges, program, &mut misses);
    for at in misses {
        jump_here(program, at);
    }
}

fn split(ranges: &[Range], program: &mut Vec<Instruction>, misses: &mut Vec<usize>) {
    if ranges.len() <= NEAR {
        return near(ranges, program, misses);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let pivot = right.first().map_or(u32::MAX, |range| range.low);
    program.push(Instruction { jf: 1, ..Instruction::new(code::IF_GREATER_OR_EQUAL, pivot) });
    let to_the_right = program.len();
    program.push(Instruction::new(code::JUMP, 0));
    split(left, program, misses);
    jump_here(program, to_the_right);
    split(right, program, misses);
}

/// Has a jump go to what comes next.
pub(super) fn jump_here(program: &mut [Instruction], jump: usize) {
    program[jump].k = u32::try_from(program.len() - jump - 1).unwrap_or(u32::MAX);
}

/// A step of the search, before it is known how far away the others are.
struct Step {
    code: u16,
    k: u32,
    then: Target,
    otherwise: Target,
}

#[derive(Clone, Copy)]
enum Target {
    Step(usize),
    Hit,
    Miss,
}

fn near(ranges: &[Range], program: &mut Vec<Instruction>, misses: &mut Vec<usize>) {
    let mut steps = Vec::with_capacity(2 * ranges.len());
    tree(ranges, 0, 2 * ranges.len(), &mut steps);
    let (hit, miss) = (steps.len(), steps.len() + 1);
    for (at, step) in steps.iter().enumerate() {
        let distance = |target| {
            let to = match target {
                Target::Step(to) => to,
                Target::Hit => hit,
                Target::Miss => miss,
            };
            u8::try_from(to - at - 1).unwrap_or(u8::MAX)
        };
        program.push(Instruction {
            code: step.code,
            jt: distance(step.then),
            jf: distance(step.otherwise),
            k: step.k,
        });
    }
    program.push(Instruction::new(code::RETURN, super::ACCEPT));
    misses.push(program.len());
    program.push(Instruction::new(code::JUMP, 0));
}

/// Steps that tell how many of the bounds from `from` to `to` are passed: an odd number is inside of a range.
fn tree(ranges: &[Range], from: usize, to: usize, steps: &mut Vec<Step>) -> Target {
    if from == to {
        return if from % 2 == 1 { Target::Hit } else { Target::Miss };
    }
    let middle = usize::midpoint(from, to);
    let range = ranges[middle / 2];
    let (code, k) = if middle.is_multiple_of(2) {
        (code::IF_GREATER_OR_EQUAL, range.low)
    } else {
        (code::IF_GREATER, range.high)
    };
    let at = steps.len();
    steps.push(Step { code, k, then: Target::Miss, otherwise: Target::Miss });
    steps[at].otherwise = tree(ranges, from, middle, steps);
    steps[at].then = tree(ranges, middle + 1, to, steps);
    Target::Step(at)
}
