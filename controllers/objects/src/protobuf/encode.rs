//! From what serde serializes to protobuf.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

use super::MAGIC;
use super::schema::{self, Field, Kind, MAP_KEY, MAP_VALUE, Message};
use super::wire::{begin_message, end_message, put_bytes, put_number};

/// An object in protobuf. `None` if its kind, or anything in it, is not known to the tables: then it has to be sent as
/// JSON, so that nothing gets lost.
#[must_use]
pub fn encode(api_version: &str, kind: &str, object: &impl Serialize) -> Option<Vec<u8>> {
    let message = schema::writable(api_version, kind)?;
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(MAGIC);
    let types = begin_message(&mut out, 1);
    put_bytes(&mut out, 1, api_version.as_bytes());
    put_bytes(&mut out, 2, kind.as_bytes());
    end_message(&mut out, types);
    let raw = begin_message(&mut out, 2);
    object.serialize(Top { message, out: &mut out }).ok()?;
    end_message(&mut out, raw);
    Some(out)
}

/// The tables do not know this.
#[derive(Debug)]
struct NotKnown;

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not known to the tables")
    }
}

impl std::error::Error for NotKnown {}

impl ser::Error for NotKnown {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Done = Result<(), NotKnown>;
type Never = ser::Impossible<(), NotKnown>;

/// What no object has, for [`Serializer`].
macro_rules! not_known {
    ($($name:ident($($kind:ty),*) -> $outcome:ty;)*) => {
        $(fn $name(self, $(_: $kind),*) -> Result<$outcome, NotKnown> {
            Err(NotKnown)
        })*
    };
}

/// Shapes that occur nowhere in the API.
macro_rules! foreign_shapes {
    () => {
        type SerializeTuple = Never;
        type SerializeTupleStruct = Never;
        type SerializeTupleVariant = Never;
        type SerializeStructVariant = Never;

        not_known! {
            serialize_f32(f32) -> ();
            serialize_f64(f64) -> ();
            serialize_char(char) -> ();
            serialize_bytes(&[u8]) -> ();
            serialize_unit_struct(&'static str) -> ();
            serialize_unit_variant(&'static str, u32, &'static str) -> ();
            serialize_tuple(usize) -> Never;
            serialize_tuple_struct(&'static str, usize) -> Never;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
        }

        fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Done {
            value.serialize(self)
        }

        fn serialize_newtype_variant<T: ?Sized + Serialize>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Done {
            Err(NotKnown)
        }

        fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Done {
            value.serialize(self)
        }
    };
}

/// The object itself: its fields, without `apiVersion` and `kind`.
struct Top<'a> {
    message: &'static Message,
    out: &'a mut Vec<u8>,
}

impl<'a> Serializer for Top<'a> {
    type Ok = ();
    type Error = NotKnown;
    type SerializeSeq = Never;
    type SerializeMap = Never;
    type SerializeStruct = Fields<'a>;

    foreign_shapes!();

    not_known! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_str(&str) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_seq(Option<usize>) -> Never;
        serialize_map(Option<usize>) -> Never;
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, NotKnown> {
        Ok(Fields { message: self.message, out: self.out, start: None })
    }
}

/// The fields of a message.
struct Fields<'a> {
    message: &'static Message,
    out: &'a mut Vec<u8>,
    /// Where the message begins; `None` for the object itself.
    start: Option<usize>,
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = NotKnown;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Done {
        let is_type = self.start.is_none() && matches!(name, "apiVersion" | "kind");
        match self.message.by_name(name) {
            Some(field) => value.serialize(Part { field, out: self.out }),
            None if is_type => Ok(()),
            None => Err(NotKnown),
        }
    }

    fn end(self) -> Done {
        if let Some(start) = self.start {
            end_message(self.out, start);
        }
        Ok(())
    }
}

/// The value of a field, or one element of it.
struct Part<'a> {
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

impl Part<'_> {
    fn number(self, value: i64) -> Done {
        if !matches!(self.field.kind, Kind::Number) {
            return Err(NotKnown);
        }
        put_number(self.out, self.field.number, value.cast_unsigned());
        Ok(())
    }
}

impl<'a> Serializer for Part<'a> {
    type Ok = ();
    type Error = NotKnown;
    type SerializeSeq = Elements<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;

    foreign_shapes!();

    not_known! {
        serialize_u64(u64) -> ();
    }

    fn serialize_bool(self, value: bool) -> Done {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(NotKnown);
        }
        put_number(self.out, self.field.number, value.into());
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Done {
        self.number(value.into())
    }

    fn serialize_i16(self, value: i16) -> Done {
        self.number(value.into())
    }

    fn serialize_i32(self, value: i32) -> Done {
        self.number(value.into())
    }

    fn serialize_i64(self, value: i64) -> Done {
        self.number(value)
    }

    fn serialize_u8(self, value: u8) -> Done {
        self.number(value.into())
    }

    fn serialize_u16(self, value: u16) -> Done {
        self.number(value.into())
    }

    fn serialize_u32(self, value: u32) -> Done {
        self.number(value.into())
    }

    fn serialize_str(self, value: &str) -> Done {
        if !matches!(self.field.kind, Kind::Text | Kind::OptionalText) {
            return Err(NotKnown);
        }
        put_bytes(self.out, self.field.number, value.as_bytes());
        Ok(())
    }

    fn serialize_none(self) -> Done {
        Ok(())
    }

    fn serialize_unit(self) -> Done {
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, NotKnown> {
        if self.field.is_list { Ok(Elements(self)) } else { Err(NotKnown) }
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, NotKnown> {
        match self.field.kind {
            Kind::Map => Ok(Entries { part: self, start: 0 }),
            _ => Err(NotKnown),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, NotKnown> {
        let Kind::Message(message) = self.field.kind else { return Err(NotKnown) };
        let start = begin_message(self.out, self.field.number);
        Ok(Fields { message, out: self.out, start: Some(start) })
    }
}

struct Elements<'a>(Part<'a>);

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = NotKnown;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
        value.serialize(Part { field: self.0.field, out: self.0.out })
    }

    fn end(self) -> Done {
        Ok(())
    }
}

/// A map: a message for each of its entries.
struct Entries<'a> {
    part: Part<'a>,
    /// Where the entry begins that is being written.
    start: usize,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = NotKnown;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Done {
        self.start = begin_message(self.part.out, self.part.field.number);
        key.serialize(Part { field: &MAP_KEY, out: self.part.out })
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Done {
        value.serialize(Part { field: &MAP_VALUE, out: self.part.out })?;
        end_message(self.part.out, self.start);
        Ok(())
    }

    fn end(self) -> Done {
        Ok(())
    }
}
