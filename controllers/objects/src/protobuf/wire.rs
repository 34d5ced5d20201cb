//! Fields of a message as they are written, whatever they mean.

use super::Malformed;

/// The value of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// A text, a message or an entry of a map.
    Bytes(&'a [u8]),
    /// A number of four or eight bytes, which no known field is.
    Fixed,
}

/// Reads one message, field by field.
#[derive(Clone)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next field and its number.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| malformed("a field has an impossible number"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            other => return Err(malformed(&format!("a field has the wire type {other}"))),
        };
        Ok(Some((number, value)))
    }

    /// The bytes of the first field of this number; empty if there is none.
    pub(super) fn find(mut self, wanted: u32) -> Result<&'a [u8], Malformed> {
        while let Some((number, value)) = self.next()? {
            if number == wanted {
                return bytes(value);
            }
        }
        Ok(&[])
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(|| malformed("a number is cut off"))?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number is longer than 64 bits"))
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let parts = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (bytes, rest) = parts.ok_or_else(|| malformed("a field is cut off"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

pub(super) fn bytes(value: Value<'_>) -> Result<&[u8], Malformed> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Varint(_) | Value::Fixed => Err(malformed("a number stands where a text or message belongs")),
    }
}

pub(super) fn malformed(reason: &str) -> Malformed {
    Malformed(reason.to_owned())
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The mask leaves seven bits.
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub(super) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, value);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Begins a message whose length is not known yet, and says where.
pub(super) fn begin_message(out: &mut Vec<u8>, field: u32) -> usize {
    put_varint(out, u64::from(field) << 3 | 2);
    // Room for the length of a short one.
    out.push(0);
    out.len()
}

/// Ends a message that began there.
pub(super) fn end_message(out: &mut Vec<u8>, start: usize) {
    let mut length = Vec::with_capacity(5);
    put_varint(&mut length, (out.len() - start) as u64);
    out.splice(start - 1..start, length);
}
