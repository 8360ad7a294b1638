//! What rows hold, many of them in one answer: the driver takes each row, and each value of it,
//! one by one from another thread, and that costs several times what finding and writing the row
//! does. SQLite puts values together as bytes that tell them apart, exactly; where it cannot tell a
//! value, it says so, and the row is read by itself.

use std::ops::ControlFlow;

use crate::database::sqlite::StoredValue;
use crate::database::sqlite::declared::Affinity;
use crate::domain::before::Before;

/// Values of a row that are put together. A statement names each a dozen times, and may have a
/// million bytes. Source: `SQLITE_MAX_SQL_LENGTH` in <https://www.sqlite.org/limits.html>.
pub(super) const VALUES_MAX: usize = 256;

/// Arguments that a function takes at least.
/// Source: `SQLITE_MAX_FUNCTION_ARG` in <https://www.sqlite.org/limits.html>.
const ARGUMENTS_MAX: usize = 100;

/// Powers of two that reals are multiplied by to become whole numbers: a real of 53 bits is one,
/// and one of 64 bits, by the power that its size asks for. Those of about 1 to 1 000 come first.
const POWERS: [u8; 5] = [52, 42, 32, 62, 22];

/// A column as a statement names it, and what it makes of numbers.
pub(super) type Named = (String, Affinity);

/// SQL for the whole answer of a statement: of every row `position`, a sign that tells whether it
/// `differs`, and what its `columns` hold, if `before` wants it.
pub(super) fn all(position: &str, differs: &str, columns: &[Named], before: Before) -> String {
    let values = || {
        let values: Vec<String> = columns.iter().map(value).collect();
        let groups = values.chunks(ARGUMENTS_MAX);
        let groups = groups.map(|group| format!("concat({})", group.join(", ")));
        groups.collect::<Vec<_>>().join(", ")
    };
    let row = match before {
        Before::Unread => {
            format!("concat({position}, CASE WHEN {differs} THEN '+.' ELSE '-.' END)")
        }
        Before::OfDiffering => format!(
            "CASE WHEN {differs} THEN concat({position}, '+', {values}) \
             ELSE concat({position}, '-.') END",
            values = values()
        ),
        Before::OfAll => format!(
            "concat({position}, CASE WHEN {differs} THEN '+' ELSE '-' END, {values})",
            values = values()
        ),
    };
    format!("CAST(group_concat({row}, '') AS BLOB)")
}

/// SQL for one value: a letter for its storage class, and what [`Rows`] reads after it. A column
/// without an affinity holds two zeros, which compare as equal.
fn value((column, affinity): &Named) -> String {
    let is_told = match affinity {
        Affinity::None => format!("{column} <> 0 AND "),
        Affinity::Integer | Affinity::Real | Affinity::Numeric | Affinity::Text => String::new(),
    };
    let real: String = POWERS
        .iter()
        .map(|power| {
            let factor = factor(*power);
            let whole = format!("CAST({column} * {factor:.1} AS INTEGER)");
            format!(
                " WHEN {is_told}{whole} / {factor:.1} = {column} \
                 THEN concat('r{power}:', {whole}, ';')"
            )
        })
        .collect();
    format!(
        "CASE typeof({column}) \
         WHEN 'text' THEN concat('t', octet_length({column}), ':') || {column} \
         WHEN 'integer' THEN concat('i', {column}, ';') \
         WHEN 'null' THEN 'n' \
         WHEN 'blob' THEN concat('b', octet_length({column}), ':') || {column} \
         ELSE CASE{real} ELSE '?' END END"
    )
}

/// Two to this power.
fn factor(power: u8) -> f64 {
    f64::from(power).exp2()
}

/// One row of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Row<'a> {
    /// The record's position in the statement.
    pub(super) position: usize,
    pub(super) differs: bool,
    pub(super) held: Held<'a>,
}

/// What a row holds, as far as it is told.
#[derive(Debug, PartialEq)]
pub(super) enum Held<'a> {
    /// Nobody asked.
    Unread,
    Values(Vec<StoredValue<'a>>),
    /// It holds what SQLite cannot put into an answer exactly.
    Untold,
}

/// The rows of an answer.
pub(super) struct Rows<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Rows<'a> {
    /// Of rows with so many values.
    pub(super) fn of(answer: &'a [u8], values: usize) -> Self {
        Self {
            rest: answer,
            values,
        }
    }

    /// The next row; `None` after the last. Errors: it is not as [`all`] has it made.
    pub(super) fn next(&mut self) -> Result<Option<Row<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
        let position = self.digits(digits.count())?;
        let differs = match self.byte()? {
            b'+' => true,
            b'-' => false,
            _ => return Err(Malformed),
        };
        let held = self.held()?;
        Ok(Some(Row {
            position,
            differs,
            held,
        }))
    }

    fn held(&mut self) -> Result<Held<'a>, Malformed> {
        if self.rest.first() == Some(&b'.') {
            self.byte()?;
            return Ok(Held::Unread);
        }
        let mut values = Vec::with_capacity(self.values);
        let mut is_told = true;
        for _ in 0..self.values {
            match self.value()? {
                ControlFlow::Continue(value) => values.push(value),
                ControlFlow::Break(Untold) => is_told = false,
            }
        }
        Ok(match is_told {
            true => Held::Values(values),
            false => Held::Untold,
        })
    }

    fn value(&mut self) -> Result<ControlFlow<Untold, StoredValue<'a>>, Malformed> {
        let value = match self.byte()? {
            b'n' => StoredValue::Null,
            b'i' => StoredValue::Integer(self.number(b';')?),
            b'r' => {
                let power: u8 = self.number(b':')?;
                let whole: i64 = self.number(b';')?;
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "SQLite does the very same, and compared the result"
                )]
                StoredValue::Real(whole as f64 / factor(power))
            }
            b't' => {
                let bytes = self.sized()?;
                std::str::from_utf8(bytes).map_or(StoredValue::NotUtf8(bytes), StoredValue::Text)
            }
            b'b' => StoredValue::Blob(self.sized()?),
            b'?' => return Ok(ControlFlow::Break(Untold)),
            _ => return Err(Malformed),
        };
        Ok(ControlFlow::Continue(value))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A length, and as many bytes.
    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number(b':')?;
        self.bytes(length)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A whole number, and the byte that ends it.
    fn number<T: std::str::FromStr>(&mut self, end: u8) -> Result<T, Malformed> {
        let length = self.rest.iter().position(|byte| *byte == end);
        let number = self.digits(length.ok_or(Malformed)?)?;
        self.byte()?;
        Ok(number)
    }

    fn digits<T: std::str::FromStr>(&mut self, length: usize) -> Result<T, Malformed> {
        let digits = std::str::from_utf8(self.bytes(length)?).ok();
        digits
            .and_then(|digits| digits.parse().ok())
            .ok_or(Malformed)
    }
}

/// A value that an answer does not tell.
struct Untold;

/// An answer that is not as it was asked for.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("SQLite answered something else than it was asked for")]
pub(super) struct Malformed;
