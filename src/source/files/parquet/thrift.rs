//! Reads Thrift's compact protocol, which Parquet's footers and page headers are written in.
//! Nothing is allocated by a file's word, and no nesting is followed further than Parquet's own
//! goes. Source:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Structures within structures; Parquet's own are eight deep.
const DEPTH_MAX: u8 = 32;

/// Why bytes are no structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They end within a value.
    CutShort,
    Invalid,
}

type Read<T> = Result<T, Malformed>;

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    True,
    False,
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Map,
    Structure,
    Uuid,
}

impl Form {
    fn of(code: u8) -> Read<Self> {
        Ok(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Structure,
            13 => Self::Uuid,
            _ => return Err(Malformed::Invalid),
        })
    }
}

/// One field of a structure, to be read or passed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) id: i64,
    form: Form,
}

/// Bytes being read.
#[derive(Debug)]
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    /// Bytes that are not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads the outermost structure. `read` takes the fields it knows and answers `false` to the
    /// others.
    pub(super) fn root(&mut self, read: impl FnMut(&mut Self, Field) -> Read<bool>) -> Read<()> {
        self.fields(read)
    }

    /// Reads a field that is a structure.
    pub(super) fn structure(
        &mut self,
        field: Field,
        read: impl FnMut(&mut Self, Field) -> Read<bool>,
    ) -> Read<bool> {
        expect(field, Form::Structure)?;
        self.fields(read)?;
        Ok(true)
    }

    /// Reads a field that is a list of structures: `read` is called once for each.
    pub(super) fn structures(
        &mut self,
        field: Field,
        mut read: impl FnMut(&mut Self) -> Read<()>,
    ) -> Read<bool> {
        expect(field, Form::List)?;
        let (form, count) = self.list_head()?;
        if form != Form::Structure {
            return Err(Malformed::Invalid);
        }
        for _ in 0..count {
            read(self)?;
        }
        Ok(true)
    }

    /// Reads a field that is an integer into its place.
    pub(super) fn integer(&mut self, field: Field, place: &mut Option<i64>) -> Read<bool> {
        *place = Some(if field.form == Form::Byte {
            i64::from(self.byte()?.cast_signed())
        } else {
            expect(field, Form::Integer)?;
            self.zigzag()?
        });
        Ok(true)
    }

    /// Reads a field that is true or false into its place.
    pub(super) fn boolean(&mut self, field: Field, place: &mut Option<bool>) -> Read<bool> {
        let is_true = field.form == Form::True;
        if !is_true {
            expect(field, Form::False)?;
        }
        *place = Some(is_true);
        Ok(true)
    }

    /// Reads a field that is bytes.
    pub(super) fn binary(&mut self, field: Field) -> Read<&'a [u8]> {
        expect(field, Form::Binary)?;
        self.bytes()
    }

    fn fields(&mut self, mut read: impl FnMut(&mut Self, Field) -> Read<bool>) -> Read<()> {
        self.deeper()?;
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                break;
            }
            id = match i64::from(head >> 4) {
                0 => self.zigzag()?,
                step => id + step,
            };
            let field = Field {
                id,
                form: Form::of(head & 0x0F)?,
            };
            if !read(self, field)? {
                self.skip(field.form)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(Malformed::Invalid)
        } else {
            Ok(())
        }
    }

    fn skip(&mut self, form: Form) -> Read<()> {
        match form {
            Form::True | Form::False => Ok(()),
            Form::Byte => self.byte().map(drop),
            Form::Integer => self.varint().map(drop),
            Form::Double => self.take(8).map(drop),
            Form::Uuid => self.take(16).map(drop),
            Form::Binary => self.bytes().map(drop),
            Form::Structure => self.fields(|_, _| Ok(false)),
            Form::List => {
                self.deeper()?;
                let (form, count) = self.list_head()?;
                for _ in 0..count {
                    self.skip_element(form)?;
                }
                self.depth -= 1;
                Ok(())
            }
            Form::Map => {
                self.deeper()?;
                let count = self.count()?;
                if count > 0 {
                    let forms = self.byte()?;
                    let (key, value) = (Form::of(forms >> 4)?, Form::of(forms & 0x0F)?);
                    for _ in 0..count {
                        self.skip_element(key)?;
                        self.skip_element(value)?;
                    }
                }
                self.depth -= 1;
                Ok(())
            }
        }
    }

    /// True and false take a byte of their own within lists and maps.
    fn skip_element(&mut self, form: Form) -> Read<()> {
        if matches!(form, Form::True | Form::False) {
            self.byte().map(drop)
        } else {
            self.skip(form)
        }
    }

    fn list_head(&mut self) -> Read<(Form, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            // What a list without elements would hold does not matter.
            0 => return Ok((Form::Structure, 0)),
            15 => self.count()?,
            short => usize::from(short),
        };
        Ok((Form::of(head & 0x0F)?, count))
    }

    /// A number of elements, each of which takes a byte at least.
    fn count(&mut self) -> Read<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed::Invalid)?;
        if count > self.rest.len() {
            Err(Malformed::CutShort)
        } else {
            Ok(count)
        }
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Invalid)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        let (byte, rest) = self.rest.split_first().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn zigzag(&mut self) -> Read<i64> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn varint(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Invalid)
    }
}

fn expect(field: Field, form: Form) -> Read<()> {
    if field.form == form {
        Ok(())
    } else {
        Err(Malformed::Invalid)
    }
}
