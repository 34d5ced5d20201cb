//! Classic BPF programs, by which the kernel drops what does not concern us before it wakes anybody.
//!
//! They look at whole frames, as sockets of type `SOCK_RAW` have them. What they accept is still looked at in full: they
//! may accept too much, never too little.

mod blocks;
mod ranges;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ranges::aggregate;

use crate::beacon::codec;
use crate::ethernet::ether_type;
use crate::identity::ClusterId;
use crate::udp;

/// One instruction of classic BPF, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub jt: u8,
    /// How many instructions to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl Instruction {
    const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }
}

/// How many ranges of addresses a program tells apart at most.
///
/// A program of so many ranges and blocks takes less than 10 kB of the 20 kB that Linux before 6.8 lets a socket have
/// (`net.core.optmem_max`), and there are two of them while one replaces the other.
pub const MOST_RANGES: usize = 96;

/// How many rows of 32 addresses are told apart one by one at most: those of 5,000 that follow each other.
const MOST_BLOCKS: usize = 160;

/// How many prefixes of 96 bits the program for IPv6 tells apart; with more it looks at the last 32 bits only.
const MOST_PREFIXES: usize = 8;

const ACCEPT: u32 = u32::MAX;
const REJECT: u32 = 0;

mod code {
    pub(super) const LOAD_WORD: u16 = 0x20;
    pub(super) const LOAD_HALF: u16 = 0x28;
    pub(super) const LOAD_OCTET: u16 = 0x30;
    pub(super) const LOAD_VALUE: u16 = 0x00;
    pub(super) const SUBTRACT: u16 = 0x14;
    pub(super) const AND: u16 = 0x54;
    pub(super) const SHIFT_RIGHT: u16 = 0x74;
    pub(super) const SHIFT_RIGHT_BY_SECOND: u16 = 0x7c;
    pub(super) const TO_SECOND: u16 = 0x07;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const IF_EQUAL: u16 = 0x15;
    pub(super) const IF_GREATER: u16 = 0x25;
    pub(super) const IF_GREATER_OR_EQUAL: u16 = 0x35;
    pub(super) const RETURN: u16 = 0x06;
}

/// Where Linux has what is known of a frame beside its bytes (`SKF_AD_OFF`).
mod ancillary {
    const START: u32 = 0xffff_f000;
    pub(super) const PACKET_TYPE: u32 = START + 4;
    pub(super) const HAS_VLAN_TAG: u32 = START + 48;
}

/// `PACKET_OTHERHOST`: for another MAC address, or with the tag of a VLAN that nobody here is on.
const FOR_ANOTHER_HOST: u32 = 3;

/// What is to be heard about addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About<Address> {
    /// Those that others may ask for. An address that another node answers for need not be among them, which spares this
    /// one the question.
    pub asked: Vec<Address>,
    /// Those that others may not use without being noticed.
    pub used: Vec<Address>,
}

impl<Address> About<Address> {
    /// Nothing is.
    pub const NOTHING: Self = Self { asked: Vec::new(), used: Vec::new() };
}

/// Accepts ARP about addresses: requests for those that are asked for, and whatever a user of one sends. Without any it
/// accepts nothing.
#[must_use]
pub fn arp(about: &About<Ipv4Addr>) -> Vec<Instruction> {
    let numbers = |addresses: &[Ipv4Addr]| addresses.iter().map(|address| address.to_bits()).collect();
    let mut program = Vec::new();
    if !(about.asked.is_empty() && about.used.is_empty()) {
        on_this_segment(ether_type::ARP, &mut program);
        require(code::LOAD_WORD, 14, 0x0001_0800, &mut program);
        require(code::LOAD_HALF, 18, 0x0604, &mut program);
        search_each(38, numbers(&about.asked), &mut program);
        search(28, numbers(&about.used), &mut program);
    }
    program.push(Instruction::new(code::RETURN, REJECT));
    program
}

/// Accepts beacons of a cluster, of any version.
#[must_use]
pub fn beacons(ether_type: u16, cluster: ClusterId) -> Vec<Instruction> {
    let mut program = Vec::new();
    on_this_segment(ether_type, &mut program);
    accept_beacons(14, cluster, &mut program);
    program
}

/// Accepts solicitations for addresses that are asked for, advertisements of those that others use, and beacons of a
/// cluster.
#[must_use]
pub fn ipv6(about: &About<Ipv6Addr>, cluster: ClusterId) -> Vec<Instruction> {
    let numbers = |addresses: &[Ipv6Addr]| addresses.iter().map(|address| words(*address)[3]).collect();
    let all = about.asked.iter().chain(&about.used).map(|address| words(*address));
    let prefixes: BTreeSet<_> = all.map(|[a, b, c, _]| [a, b, c]).collect();
    let mut neighbours = Vec::new();
    if !prefixes.is_empty() {
        require(code::LOAD_OCTET, 21, 255, &mut neighbours);
        if prefixes.len() <= MOST_PREFIXES {
            one_of(&prefixes, 62, &mut neighbours);
        }
        for (kind, search, addresses) in
            [(135, search_each as Search, &about.asked), (136, search as Search, &about.used)]
        {
            let mut behind = Vec::new();
            search(74, numbers(addresses), &mut behind);
            behind.push(Instruction::new(code::RETURN, REJECT));
            neighbours.push(Instruction::new(code::LOAD_OCTET, 54));
            neighbours.push(Instruction { jt: 1, ..Instruction::new(code::IF_EQUAL, kind) });
            neighbours.push(Instruction::new(code::JUMP, u32::try_from(behind.len()).unwrap_or(u32::MAX)));
            neighbours.extend(behind);
        }
    }
    neighbours.push(Instruction::new(code::RETURN, REJECT));

    let mut program = Vec::new();
    on_this_segment(ether_type::IPV6, &mut program);
    program.push(Instruction::new(code::LOAD_OCTET, 20));
    program.push(Instruction { jf: 1, ..Instruction::new(code::IF_EQUAL, 58) });
    let over_udp = Instruction::new(code::JUMP, 0);
    let beacons = {
        let mut beacons = vec![Instruction { jt: 1, ..Instruction::new(code::IF_EQUAL, 17) }];
        beacons.push(Instruction::new(code::RETURN, REJECT));
        for (word, at) in words(udp::GROUP_V6).into_iter().zip([38, 42, 46, 50]) {
            require(code::LOAD_WORD, at, word, &mut beacons);
        }
        require(code::LOAD_HALF, 56, udp::PORT.into(), &mut beacons);
        accept_beacons(62, cluster, &mut beacons);
        beacons
    };
    let skip = u32::try_from(beacons.len()).unwrap_or(u32::MAX);
    program.push(Instruction { k: skip, ..over_udp });
    program.extend(beacons);
    program.extend(neighbours);
    program
}

/// Accepts beacons of a cluster in IPv4.
#[must_use]
pub fn ipv4(cluster: ClusterId) -> Vec<Instruction> {
    let mut program = Vec::new();
    on_this_segment(ether_type::IPV4, &mut program);
    require(code::LOAD_OCTET, 14, 0x45, &mut program);
    program.push(Instruction::new(code::LOAD_HALF, 20));
    program.push(Instruction::new(code::AND, 0x3fff));
    program.push(Instruction { jt: 1, ..Instruction::new(code::IF_EQUAL, 0) });
    program.push(Instruction::new(code::RETURN, REJECT));
    require(code::LOAD_OCTET, 23, 17, &mut program);
    require(code::LOAD_WORD, 30, udp::GROUP_V4.to_bits(), &mut program);
    require(code::LOAD_HALF, 36, udp::PORT.into(), &mut program);
    accept_beacons(42, cluster, &mut program);
    program
}

type Search = fn(u32, Vec<u32>, &mut Vec<Instruction>);

/// Accepts if the word at `at` is one of few numbers, or lies between two that are close to each other.
fn search(at: u32, numbers: Vec<u32>, program: &mut Vec<Instruction>) {
    ranges::search(at, &aggregate(numbers, MOST_RANGES), program);
}

/// Accepts if the word at `at` is one of these numbers, and as far as there is room no other.
fn search_each(at: u32, mut numbers: Vec<u32>, program: &mut Vec<Instruction>) {
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|one, next| next - one <= 1).count();
    let blocks = if runs > MOST_RANGES { blocks::blocks(&numbers) } else { Vec::new() };
    if blocks.is_empty() || blocks.len() > MOST_BLOCKS {
        search(at, numbers, program);
    } else {
        blocks::search(at, &blocks, program);
    }
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of 128")]
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

/// Rejects what has another EtherType, and what is of a VLAN: that is another segment.
fn on_this_segment(ether_type: u16, program: &mut Vec<Instruction>) {
    require(code::LOAD_WORD, ancillary::HAS_VLAN_TAG, 0, program);
    program.push(Instruction::new(code::LOAD_WORD, ancillary::PACKET_TYPE));
    program.push(Instruction { jf: 1, ..Instruction::new(code::IF_EQUAL, FOR_ANOTHER_HOST) });
    program.push(Instruction::new(code::RETURN, REJECT));
    require(code::LOAD_HALF, 12, ether_type.into(), program);
}

/// Goes on if what is loaded equals `value`, else rejects.
fn require(load: u16, at: u32, value: u32, program: &mut Vec<Instruction>) {
    program.push(Instruction::new(load, at));
    program.push(Instruction { jt: 1, ..Instruction::new(code::IF_EQUAL, value) });
    program.push(Instruction::new(code::RETURN, REJECT));
}

/// Accepts what has the magic and the cluster of a beacon at `at`, else rejects.
fn accept_beacons(at: u32, cluster: ClusterId, program: &mut Vec<Instruction>) {
    require(code::LOAD_WORD, at, u32::from_be_bytes(codec::MAGIC), program);
    let (words, _) = cluster.0.as_chunks();
    for (word, at) in words.iter().zip([at + 8, at + 12]) {
        require(code::LOAD_WORD, at, u32::from_be_bytes(*word), program);
    }
    program.push(Instruction::new(code::RETURN, ACCEPT));
}

/// Goes on if the three words at `at` are one of the prefixes, else rejects.
fn one_of(prefixes: &BTreeSet<[u32; 3]>, at: u32, program: &mut Vec<Instruction>) {
    let mut left = prefixes.len();
    for prefix in prefixes {
        left -= 1;
        // Each prefix is 7 instructions: three comparisons, each of which goes to the next prefix if it fails.
        for (word, offset) in prefix.iter().zip([0, 4, 8]) {
            let to_next = u8::try_from(5 - offset / 2).unwrap_or_default();
            program.push(Instruction::new(code::LOAD_WORD, at + offset));
            program.push(Instruction { jf: to_next, ..Instruction::new(code::IF_EQUAL, *word) });
        }
        let behind = u32::try_from(7 * left + 1).unwrap_or(u32::MAX);
        program.push(Instruction::new(code::JUMP, behind));
    }
    program.push(Instruction::new(code::RETURN, REJECT));
}

#[cfg(test)]
mod tests;
