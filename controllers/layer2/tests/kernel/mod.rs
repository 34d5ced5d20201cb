//! Linux, as far as it runs classic BPF (`Documentation/networking/filter.rst`).

use fairlead_layer2::filter::Instruction;

/// A frame as the kernel has it.
pub(crate) struct Skb<'a> {
    pub(crate) frame: &'a [u8],
    /// It came with the tag of a VLAN, which the interface took off.
    pub(crate) vlan: bool,
    /// Whom it is for: this host, all, a group, another host.
    pub(crate) packet_type: u32,
}

impl<'a> From<&'a [u8]> for Skb<'a> {
    fn from(frame: &'a [u8]) -> Self {
        Self { frame, vlan: false, packet_type: 0 }
    }
}

/// What the kernel does with a frame. A load from behind its end rejects it.
pub(crate) fn accepts<'a>(program: &[Instruction], skb: impl Into<Skb<'a>>) -> bool {
    run(program, &skb.into()).unwrap_or(0) != 0
}

fn run(program: &[Instruction], skb: &Skb<'_>) -> Option<u32> {
    let load = |at: u32, length: usize| {
        let bytes = skb.frame.get(usize::try_from(at).ok()?..)?.get(..length)?;
        Some(bytes.iter().fold(0, |word, octet| word << 8 | u32::from(*octet)))
    };
    let (mut a, mut x, mut at) = (0_u32, 0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            // SKF_AD_VLAN_TAG_PRESENT and SKF_AD_PKTTYPE
            0x20 if k == 0xffff_f030 => a = skb.vlan.into(),
            0x20 if k == 0xffff_f004 => a = skb.packet_type,
            0x20 => a = load(k, 4)?,
            0x28 => a = load(k, 2)?,
            0x30 => a = load(k, 1)?,
            0x00 => a = k,
            0x07 => x = a,
            0x14 => a = a.wrapping_sub(k),
            0x54 => a &= k,
            0x74 => a >>= k,
            0x7c => a >>= x,
            0x05 => at += usize::try_from(k).ok()?,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x06 => return Some(k),
            other => panic!("{other:#x} is no instruction of these programs"),
        }
    }
}
