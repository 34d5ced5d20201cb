//! From protobuf to the JSON of the known fields.

use super::schema::{self, BOOKMARK, Field, Kind, MAP_KEY, MAP_VALUE, Message};
use super::wire::{Reader, Value, bytes, malformed};
use super::{MAGIC, Malformed};

/// The JSON of an object, a list or a status.
///
/// # Errors
/// If it is cut off or garbled, or of a kind that is not [known](super::is_known).
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut json = Vec::with_capacity(body.len());
    object(body, None, &mut json)?;
    Ok(json)
}

/// Appends the JSON of an event of a watch, a line of its own, to `json`. `frame` is without its length.
///
/// # Errors
/// As [`to_json`].
pub fn watch_event_to_json(frame: &[u8], json: &mut Vec<u8>) -> Result<(), Malformed> {
    let event = Reader(frame);
    let kind = event.clone().find(1)?;
    let body = Reader(event.find(2)?).find(1)?;
    json.extend_from_slice(br#"{"type":"#);
    text(kind, json);
    json.extend_from_slice(br#","object":"#);
    object(body, (kind == b"BOOKMARK").then_some(&BOOKMARK), json)?;
    json.extend_from_slice(b"}\n");
    Ok(())
}

/// An object with its magic, read as `message`, or as what it says that it is.
fn object(body: &[u8], message: Option<&Message>, json: &mut Vec<u8>) -> Result<(), Malformed> {
    let unknown =
        Reader(body.strip_prefix(MAGIC).ok_or_else(|| malformed("it does not begin as it should"))?);
    let types = Reader(unknown.clone().find(1)?);
    let (api_version, kind) = (types.clone().find(1)?, types.find(2)?);
    if !unknown.clone().find(3)?.is_empty() {
        return Err(malformed("it is compressed"));
    }
    let message = if let Some(message) = message {
        message
    } else {
        let (api_version, kind) = (String::from_utf8_lossy(api_version), String::from_utf8_lossy(kind));
        schema::message(&api_version, &kind)
            .ok_or_else(|| malformed(&format!("the kind {kind} of {api_version} is not known here")))?
    };
    json.extend_from_slice(br#"{"apiVersion":"#);
    text(api_version, json);
    json.extend_from_slice(br#","kind":"#);
    text(kind, json);
    fields(Reader(unknown.find(2)?), message, false, json)?;
    json.push(b'}');
    Ok(())
}

/// What is between the brackets of a message.
fn fields(
    mut reader: Reader<'_>,
    message: &Message,
    mut is_first: bool,
    json: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut done = 0_u32;
    while let Some((number, value)) = reader.next()? {
        let Some((index, field)) = message.by_number(number) else { continue };
        if done & (1 << index) != 0 || is_absent(field, value) {
            continue;
        }
        done |= 1 << index;
        if !is_first {
            json.push(b',');
        }
        is_first = false;
        json.push(b'"');
        json.extend_from_slice(field.name.as_bytes());
        json.extend_from_slice(b"\":");
        // Elements come one after the other as a rule, but need not.
        let all = std::iter::once(Ok(value)).chain(Others { reader: reader.clone(), number });
        match (field.is_list, field.kind) {
            (true, kind) => {
                json.push(b'[');
                separated(all, json, |value, json| single(value, kind, json))?;
                json.push(b']');
            }
            (false, Kind::Map) => {
                json.push(b'{');
                separated(all, json, map_entry)?;
                json.push(b'}');
            }
            (false, kind) => single(value, kind, json)?,
        }
    }
    if message.items().is_some_and(|index| done & (1 << index) == 0) {
        json.extend_from_slice(if is_first { br#""items":[]"# } else { br#","items":[]"# });
    }
    Ok(())
}

/// In Go an empty text is none, and so is a time of zero.
fn is_absent(field: &Field, value: Value<'_>) -> bool {
    let may_be = match field.kind {
        Kind::Text => !field.is_list,
        Kind::Time => true,
        _ => false,
    };
    may_be && matches!(value, Value::Bytes([]))
}

/// The further values of a field.
struct Others<'a> {
    reader: Reader<'a>,
    number: u32,
}

impl<'a> Iterator for Others<'a> {
    type Item = Result<Value<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.next().transpose()? {
                Ok((number, value)) if number == self.number => return Some(Ok(value)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn separated<'a>(
    values: impl Iterator<Item = Result<Value<'a>, Malformed>>,
    json: &mut Vec<u8>,
    write: impl Fn(Value<'a>, &mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for (at, value) in values.enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write(value?, json)?;
    }
    Ok(())
}

fn map_entry(value: Value<'_>, json: &mut Vec<u8>) -> Result<(), Malformed> {
    let entry = Reader(bytes(value)?);
    text(entry.clone().find(MAP_KEY.number)?, json);
    json.push(b':');
    text(entry.find(MAP_VALUE.number)?, json);
    Ok(())
}

fn single(value: Value<'_>, kind: Kind, json: &mut Vec<u8>) -> Result<(), Malformed> {
    match kind {
        Kind::Text | Kind::OptionalText => text(bytes(value)?, json),
        Kind::Number => {
            // Negative numbers are written as those of 64 bits that they are modulo 2^64.
            json.extend_from_slice(number(value)?.cast_signed().to_string().as_bytes());
        }
        Kind::Bool => json.extend_from_slice(if number(value)? == 0 { b"false" } else { b"true" }),
        Kind::Time => time(bytes(value)?, json)?,
        Kind::Message(message) => {
            json.push(b'{');
            fields(Reader(bytes(value)?), message, true, json)?;
            json.push(b'}');
        }
        Kind::Map => return Err(malformed("a list of maps")),
    }
    Ok(())
}

fn number(value: Value<'_>) -> Result<u64, Malformed> {
    match value {
        Value::Varint(number) => Ok(number),
        Value::Bytes(_) | Value::Fixed => Err(malformed("no number stands where one belongs")),
    }
}

fn time(bytes: &[u8], json: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut reader = Reader(bytes);
    let mut seconds = 0;
    while let Some((field, value)) = reader.next()? {
        if field == 1 {
            seconds = number(value)?.cast_signed();
        }
    }
    let time = jiff::Timestamp::from_second(seconds).map_err(|error| Malformed(error.to_string()))?;
    text(time.to_string().as_bytes(), json);
    Ok(())
}

/// A text in JSON. What is no UTF-8 is replaced, as Go does it.
fn text(bytes: &[u8], json: &mut Vec<u8>) {
    json.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escaped(chunk.valid(), json);
        if !chunk.invalid().is_empty() {
            json.extend_from_slice(char::REPLACEMENT_CHARACTER.to_string().as_bytes());
        }
    }
    json.push(b'"');
}

fn escaped(text: &str, json: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        json.extend_from_slice(plain);
        match special[0] {
            byte @ (b'"' | b'\\') => json.extend_from_slice(&[b'\\', byte]),
            byte => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = &special[1..];
    }
    json.extend_from_slice(rest);
}
