//! An array of texts as the server sends it, read where it stands: a batch's before-images are
//! hundreds of thousands of values. Source: `array_send` in `src/backend/utils/adt/arrayfuncs.c`:
//! the number of dimensions, whether there are NULLs, the type of the elements; the length and the
//! first index of each dimension; the elements. All numbers have four bytes, the highest first.

use std::str;

use sqlx::postgres::{PgRow, PgValueFormat, PgValueRef};
use sqlx::{Row, ValueRef};

use super::held::split_held;

/// Of the numbers before the elements of an array of one dimension: how many dimensions there are,
/// and how many elements.
const DIMENSIONS: usize = 0;
const ELEMENTS: usize = 12;
const HEADER_BYTES: usize = 20;

/// The elements that are still to be read.
#[derive(Default)]
pub(super) struct Texts<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Texts<'a> {
    /// The array in a column of a row; NULL holds as little as an array without elements.
    pub(super) fn of(row: &'a PgRow, column: usize) -> Result<Self, sqlx::Error> {
        let value: PgValueRef<'a> = row.try_get_raw(column)?;
        if value.is_null() {
            return Ok(Self::default());
        }
        match value.format() {
            PgValueFormat::Binary => Self::sent(value.as_bytes().map_err(sqlx::Error::Decode)?),
            PgValueFormat::Text => Err(protocol("an array came as text")),
        }
    }

    fn sent(bytes: &'a [u8]) -> Result<Self, sqlx::Error> {
        let number = |at: usize| {
            let number = bytes.get(at..)?.first_chunk()?;
            Some(i32::from_be_bytes(*number))
        };
        match number(DIMENSIONS) {
            Some(0) => Ok(Self::default()),
            Some(1) => {
                let elements = number(ELEMENTS).and_then(|number| usize::try_from(number).ok());
                let left = elements.ok_or_else(cut_short)?;
                let bytes = bytes.get(HEADER_BYTES..).ok_or_else(cut_short)?;
                Ok(Self { bytes, left })
            }
            Some(_) => Err(protocol("an array of texts has several dimensions")),
            None => Err(cut_short()),
        }
    }

    /// The next element; `None` for NULL, and after the last one.
    pub(super) fn next(&mut self) -> Result<Option<&'a str>, sqlx::Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        let (held, rest) = split_held(self.bytes).ok_or_else(cut_short)?;
        (self.bytes, self.left) = (rest, left);
        let text = held.map(str::from_utf8).transpose();
        text.map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

fn cut_short() -> sqlx::Error {
    protocol("an array of texts is cut short")
}

fn protocol(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(what.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    /// As the server sends it. 25 is `text`.
    fn array(elements: &[Option<&str>]) -> Vec<u8> {
        let numbers = [1, 1, 25, i32::try_from(elements.len()).unwrap(), 1];
        let mut bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        for element in elements {
            let length = element.map_or(-1, |text| i32::try_from(text.len()).unwrap());
            bytes.extend(length.to_be_bytes());
            bytes.extend(element.unwrap_or_default().as_bytes());
        }
        bytes
    }

    #[test]
    fn elements_are_read_one_after_the_other() {
        let bytes = array(&[Some("12.50"), None, Some(""), Some("größer")]);
        let mut texts = Texts::sent(&bytes).unwrap();
        let read: Vec<Option<&str>> = (0..5).map(|_| texts.next().unwrap()).collect();
        assert_eq!(read, [Some("12.50"), None, Some(""), Some("größer"), None]);
    }

    #[test]
    fn an_array_without_elements_has_no_dimension() {
        let bytes: Vec<u8> = [0_i32, 0, 25]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect();
        assert_eq!(Texts::sent(&bytes).unwrap().next().unwrap(), None);
    }

    #[test]
    fn whatever_is_cut_off_or_no_text_is_an_error() {
        let whole = array(&[Some("12.50"), Some("low")]);
        for end in 0..whole.len() {
            let read = Texts::sent(whole.get(..end).unwrap()).and_then(|mut texts| {
                texts.next()?;
                texts.next()
            });
            assert!(read.is_err(), "{end} of {} bytes", whole.len());
        }
        let mut no_text = array(&[Some("low")]);
        *no_text.last_mut().unwrap() = 0xff;
        assert!(Texts::sent(&no_text).unwrap().next().is_err());
    }
}
