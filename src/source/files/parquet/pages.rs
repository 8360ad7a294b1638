//! The pages of one column in one row group: found, checked against their checksums, decompressed
//! and read value by value. Whatever a page announces is held against what there is before anything
//! is allocated for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use polars_parquet::parquet::compression::{Compression, DecompressionContext, decompress};

use super::coding::{Deltas, Runs};
use super::footer::Chunk;
use super::kind::Physical;
use super::thrift::{Malformed, Thrift};
use crate::library;

/// Bytes of the largest page, compressed or not. Writers make pages of one megabyte and a value; a
/// few make one page of each column and row group.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// Bytes of the largest dictionary. Writers give up on dictionaries of more than one or two
/// megabytes.
const DICTIONARY_BYTES_MAX: usize = 32 << 20;

/// Bytes of the longest page header: numbers, and the smallest and largest value for those who
/// filter.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// Bytes first read of a page header; most are shorter.
const HEADER_BYTES: usize = 256;

/// What is wrong with a page, continuing "its page at byte 4 is damaged".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage(pub(super) &'static str);

/// Why a column cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its page at byte {at} is damaged: {what}")]
    Damaged { at: u64, what: String },
    #[error("its page at byte {at} takes {bytes} bytes, more than the {} MiB that are held", bytes_max >> 20)]
    TooLarge {
        at: u64,
        bytes: i64,
        bytes_max: usize,
    },
    #[error("its footer is damaged: {0}")]
    Footer(&'static str),
    #[error("it is encrypted")]
    Encrypted,
    #[error("its values lie in another file")]
    Elsewhere,
    #[error("it is compressed by {0}")]
    Codec(String),
    #[error("its values are encoded in a way ({encoding}) that is not read for its type")]
    Encoding { encoding: i64 },
    #[error("{0}")]
    Value(String),
}

impl PageError {
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io(_) | Self::Value(_) => return None,
            Self::Damaged { .. } | Self::Footer(_) => "have the file written anew".to_owned(),
            Self::TooLarge { .. } => {
                "let the file be written with smaller pages or row groups".to_owned()
            }
            Self::Encrypted | Self::Elsewhere => {
                "let the file be written in plain, as one file".to_owned()
            }
            Self::Codec(_) => {
                "let the file be written with snappy, gzip, zstd, lz4, brotli or no compression"
                    .to_owned()
            }
            Self::Encoding { .. } => {
                "let the file be written with plain or dictionary encoding".to_owned()
            }
        })
    }
}

/// One column of one row group, being read.
#[derive(Debug)]
pub(super) struct ColumnPages {
    physical: Physical,
    nullable: bool,
    codec: Compression,
    /// Where the next page begins, and where the last one ends.
    next: u64,
    end: u64,
    /// Records of the row group that are not read yet.
    left: u64,
    dictionary: Option<Dictionary>,
    page: Option<Page>,
}

/// Bytes of a page, and where they come from.
#[derive(Debug)]
struct Body {
    header: PageHeader,
    /// Of its first byte behind the header, within the file.
    at: u64,
    /// Decompressed; empty while let go.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Dictionary {
    body: Body,
    values: usize,
    /// Where each value begins, if they differ in length.
    starts: Vec<u32>,
}

#[derive(Debug)]
struct Page {
    body: Body,
    left: u64,
    levels: Option<Runs>,
    values: Values,
}

/// How the values of a page are written, and how far they are read.
#[derive(Debug)]
enum Values {
    Plain {
        at: usize,
    },
    Dictionary(Runs),
    Bits {
        bit: usize,
    },
    BooleanRuns(Runs),
    Deltas(Deltas),
    Lengths {
        lengths: Deltas,
        at: usize,
    },
    Prefixes {
        prefixes: Deltas,
        suffixes: Deltas,
        at: usize,
        last: Vec<u8>,
    },
    Split {
        at: usize,
        count: usize,
        index: usize,
    },
}

/// Encodings by their numbers.
mod encoding {
    pub(super) const PLAIN: i64 = 0;
    pub(super) const PLAIN_DICTIONARY: i64 = 2;
    pub(super) const RLE: i64 = 3;
    pub(super) const DELTA_BINARY_PACKED: i64 = 5;
    pub(super) const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
    pub(super) const DELTA_BYTE_ARRAY: i64 = 7;
    pub(super) const RLE_DICTIONARY: i64 = 8;
    pub(super) const BYTE_STREAM_SPLIT: i64 = 9;
}

/// A page's header, as far as it is used.
#[derive(Debug, Default, Clone)]
struct PageHeader {
    kind: Option<i64>,
    uncompressed: Option<i64>,
    compressed: Option<i64>,
    checksum: Option<i64>,
    values: Option<i64>,
    encoding: Option<i64>,
    levels_encoding: Option<i64>,
    /// Of pages of the second version: NULLs, bytes of levels, and whether values are compressed at
    /// all.
    nulls: Option<i64>,
    definition_bytes: Option<i64>,
    repetition_bytes: Option<i64>,
    is_compressed: Option<bool>,
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageKind {
    Data,
    Dictionary,
    DataV2,
    /// Indexes, and what came after this program.
    Other,
}

impl PageHeader {
    fn read(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let mut thrift = Thrift::new(bytes);
        let mut header = Self::default();
        thrift.root(|thrift, field| match field.id {
            1 => thrift.integer(field, &mut header.kind),
            2 => thrift.integer(field, &mut header.uncompressed),
            3 => thrift.integer(field, &mut header.compressed),
            4 => thrift.integer(field, &mut header.checksum),
            outer @ (5 | 7 | 8) => {
                thrift.structure(field, |thrift, field| match (outer, field.id) {
                    (_, 1) => thrift.integer(field, &mut header.values),
                    (5 | 7, 2) | (8, 4) => thrift.integer(field, &mut header.encoding),
                    (5, 3) => thrift.integer(field, &mut header.levels_encoding),
                    (8, 2) => thrift.integer(field, &mut header.nulls),
                    (8, 5) => thrift.integer(field, &mut header.definition_bytes),
                    (8, 6) => thrift.integer(field, &mut header.repetition_bytes),
                    (8, 7) => thrift.boolean(field, &mut header.is_compressed),
                    _ => Ok(false),
                })
            }
            _ => Ok(false),
        })?;
        Ok((header, bytes.len() - thrift.remaining()))
    }

    fn kind(&self) -> PageKind {
        match self.kind {
            Some(0) => PageKind::Data,
            Some(2) => PageKind::Dictionary,
            Some(3) => PageKind::DataV2,
            _ => PageKind::Other,
        }
    }

    fn values(&self) -> Result<u64, Damage> {
        self.values
            .and_then(|values| u64::try_from(values).ok())
            .ok_or(Damage("it does not say how many values it has"))
    }
}

impl ColumnPages {
    /// Prepares to read the `records` values that a chunk has in a file whose pages all lie before
    /// `data_end`.
    pub(super) fn open(
        chunk: &Chunk,
        physical: Physical,
        nullable: bool,
        records: u64,
        data_end: u64,
    ) -> Result<Self, PageError> {
        if chunk.is_encrypted {
            return Err(PageError::Encrypted);
        }
        if chunk.is_elsewhere {
            return Err(PageError::Elsewhere);
        }
        if chunk.values.and_then(|values| u64::try_from(values).ok()) != Some(records) {
            return Err(PageError::Footer(
                "it has another number of values than its row group has records",
            ));
        }
        let place = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        // Old writers say 0 where there is no dictionary.
        let dictionary = place(chunk.dictionary_page).filter(|at| *at >= 4);
        let data = place(chunk.data_page);
        let first = dictionary.into_iter().chain(data).min();
        let end = first
            .zip(place(chunk.length))
            .and_then(|(first, length)| first.checked_add(length));
        match (first, end) {
            (Some(first), Some(end)) if first >= 4 && end <= data_end => Ok(Self {
                physical,
                nullable,
                codec: codec(chunk.codec)?,
                next: first,
                end,
                left: records,
                dictionary: None,
                page: None,
            }),
            _ => Err(PageError::Footer("it points outside of the file")),
        }
    }

    /// Bytes that are held.
    pub(super) fn held_bytes(&self) -> usize {
        let dictionary = self.dictionary.as_ref().map_or(0, |dictionary| {
            dictionary.body.bytes.capacity() + dictionary.starts.capacity() * size_of::<u32>()
        });
        dictionary
            + self
                .page
                .as_ref()
                .map_or(0, |page| page.body.bytes.capacity())
    }

    /// Lets go of what can be read again.
    pub(super) fn let_go(&mut self) {
        if let Some(dictionary) = &mut self.dictionary {
            dictionary.body.bytes = Vec::new();
        }
        if let Some(page) = &mut self.page {
            page.body.bytes = Vec::new();
        }
    }

    /// Hands values to `take` as they are stored, the machine's own order of bytes for numbers,
    /// `None` for NULL, until it has enough of them or `records` are read. Returns how many were
    /// read.
    pub(super) fn read(
        &mut self,
        file: &File,
        records: usize,
        mut take: impl FnMut(Option<&[u8]>) -> Result<bool, PageError>,
    ) -> Result<usize, PageError> {
        let mut read = 0;
        while read < records && self.left > 0 {
            self.prepare(file)?;
            let (Some(page), dictionary) = (&mut self.page, self.dictionary.as_ref()) else {
                break;
            };
            let at = page.body.at;
            while read < records && page.left > 0 {
                let more = page
                    .next(self.physical, dictionary, &mut take)
                    .map_err(|error| match error {
                        ValueError::Damage(Damage(what)) => PageError::Damaged {
                            at,
                            what: what.to_owned(),
                        },
                        ValueError::Taken(error) => error,
                    })?;
                read += 1;
                self.left -= 1;
                if !more {
                    return Ok(read);
                }
            }
        }
        Ok(read)
    }

    /// Sees that there is a page with values left, and that its bytes are here.
    fn prepare(&mut self, file: &File) -> Result<(), PageError> {
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            self.page = None;
            self.next_page(file)?;
        }
        if let Some(dictionary) = &mut self.dictionary
            && dictionary.body.bytes.is_empty()
        {
            load(&mut dictionary.body, file, self.codec, DICTIONARY_BYTES_MAX)?;
        }
        if let Some(page) = &mut self.page
            && page.body.bytes.is_empty()
        {
            load(&mut page.body, file, self.codec, PAGE_BYTES_MAX)?;
        }
        Ok(())
    }

    fn next_page(&mut self, file: &File) -> Result<(), PageError> {
        let begin = self.next;
        let (header, header_length) = self.read_header(file)?;
        let damaged = |what: &str| PageError::Damaged {
            at: begin,
            what: what.to_owned(),
        };
        let at = begin + header_length;
        let length = header
            .compressed
            .and_then(|length| u64::try_from(length).ok());
        let end = length
            .and_then(|length| at.checked_add(length))
            .filter(|end| *end <= self.end);
        self.next = end.ok_or_else(|| damaged("it is longer than its column"))?;
        let mut body = Body {
            header,
            at,
            bytes: Vec::new(),
        };
        let explain = |Damage(what)| PageError::Damaged {
            at: begin,
            what: what.to_owned(),
        };
        match body.header.kind() {
            PageKind::Other => Ok(()),
            PageKind::Dictionary if self.dictionary.is_some() => {
                Err(damaged("it is a second dictionary"))
            }
            PageKind::Dictionary => {
                load(&mut body, file, self.codec, DICTIONARY_BYTES_MAX)?;
                self.dictionary = Some(Dictionary::new(body, self.physical).map_err(explain)?);
                Ok(())
            }
            PageKind::Data | PageKind::DataV2 => {
                let values = body.header.values().map_err(explain)?;
                if values > self.left {
                    return Err(damaged("it has more values than its row group has records"));
                }
                load(&mut body, file, self.codec, PAGE_BYTES_MAX)?;
                let has_dictionary = self.dictionary.is_some();
                self.page = Some(Page::new(
                    body,
                    values,
                    self.physical,
                    self.nullable,
                    has_dictionary,
                )?);
                Ok(())
            }
        }
    }

    /// The header of the next page, and its length.
    fn read_header(&self, file: &File) -> Result<(PageHeader, u64), PageError> {
        let room = usize::try_from(self.end.saturating_sub(self.next))
            .unwrap_or(usize::MAX)
            .min(HEADER_BYTES_MAX);
        let damaged = |what: &str| PageError::Damaged {
            at: self.next,
            what: what.to_owned(),
        };
        if room == 0 {
            return Err(damaged(
                "its column has fewer values than its row group has records",
            ));
        }
        let mut length = HEADER_BYTES.min(room);
        loop {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, self.next)?;
            match PageHeader::read(&bytes) {
                Ok((header, used)) => return Ok((header, u64::try_from(used).unwrap_or(u64::MAX))),
                Err(Malformed::CutShort) if length < room => {
                    length = length.saturating_mul(8).min(room)
                }
                Err(Malformed::CutShort | Malformed::Invalid) => {
                    return Err(damaged("its header makes no sense"));
                }
            }
        }
    }
}

fn codec(code: Option<i64>) -> Result<Compression, PageError> {
    Ok(match code {
        Some(0) => Compression::Uncompressed,
        Some(1) => Compression::Snappy,
        Some(2) => Compression::Gzip,
        Some(4) => Compression::Brotli,
        Some(5) => Compression::Lz4,
        Some(6) => Compression::Zstd,
        Some(7) => Compression::Lz4Raw,
        Some(3) => return Err(PageError::Codec("LZO".to_owned())),
        Some(code) => return Err(PageError::Codec(format!("codec number {code}"))),
        None => {
            return Err(PageError::Footer(
                "it does not say how its pages are compressed",
            ));
        }
    })
}

/// Reads a page's bytes, holds them against their checksum and decompresses them.
fn load(
    body: &mut Body,
    file: &File,
    codec: Compression,
    bytes_max: usize,
) -> Result<(), PageError> {
    let at = body.at;
    let damaged = |what: &str| PageError::Damaged {
        at,
        what: what.to_owned(),
    };
    let size = |announced: Option<i64>| {
        let announced =
            announced.ok_or_else(|| damaged("its header does not say how long it is"))?;
        usize::try_from(announced)
            .ok()
            .filter(|bytes| *bytes <= bytes_max)
            .ok_or(PageError::TooLarge {
                at,
                bytes: announced,
                bytes_max,
            })
    };
    let (compressed, uncompressed) = (
        size(body.header.compressed)?,
        size(body.header.uncompressed)?,
    );
    let mut bytes = vec![0; compressed];
    file.read_exact_at(&mut bytes, at)?;
    if body
        .header
        .checksum
        .is_some_and(|checksum| checksum != i64::from(crc32fast::hash(&bytes).cast_signed()))
    {
        return Err(damaged("its checksum is another one"));
    }
    // Of the second version only the values are compressed, and maybe not even they.
    let levels = match body.header.kind() {
        PageKind::DataV2 => level_bytes(&body.header).map_err(|Damage(what)| damaged(what))?,
        PageKind::Data | PageKind::Dictionary | PageKind::Other => 0,
    };
    let (levels, values) = bytes
        .split_at_checked(levels)
        .ok_or_else(|| damaged("its levels are longer than it is"))?;
    let values_length = uncompressed
        .checked_sub(levels.len())
        .ok_or_else(|| damaged("it is shorter than its levels"))?;
    let is_compressed =
        codec != Compression::Uncompressed && body.header.is_compressed != Some(false);
    body.bytes = match is_compressed {
        false if values.len() == values_length => bytes,
        false => return Err(damaged("it has another length than it says")),
        true => {
            let mut out = vec![0; uncompressed];
            let (out_levels, out_values) = out.split_at_mut(levels.len());
            out_levels.copy_from_slice(levels);
            if values_length > 0 {
                expand(codec, values, out_values).map_err(|what| damaged(&what))?;
            }
            out
        }
    };
    Ok(())
}

fn level_bytes(header: &PageHeader) -> Result<usize, Damage> {
    let size = |bytes: Option<i64>| bytes.and_then(|bytes| usize::try_from(bytes).ok());
    match (
        size(header.definition_bytes),
        header
            .repetition_bytes
            .map_or(Some(0), |bytes| size(Some(bytes))),
    ) {
        (Some(definition), Some(0)) => Ok(definition),
        (_, _) => Err(Damage("its levels are those of a list")),
    }
}

fn expand(codec: Compression, values: &[u8], out: &mut [u8]) -> Result<(), String> {
    // Snappy tells first how long its text is, and the library would leave the rest of the room as
    // it was.
    if codec == Compression::Snappy && snappy_length(values) != u64::try_from(out.len()).ok() {
        return Err("it decompresses to another length than it says".to_owned());
    }
    match library::guarded(|| decompress(codec, values, out, &mut DecompressionContext::Unset)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("it cannot be decompressed: {error}")),
        Err(gave_up) => Err(gave_up.to_string()),
    }
}

fn snappy_length(bytes: &[u8]) -> Option<u64> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

impl Dictionary {
    fn new(body: Body, physical: Physical) -> Result<Self, Damage> {
        let announced = usize::try_from(body.header.values()?)
            .map_err(|_| Damage("its values are too many"))?;
        if !matches!(
            body.header.encoding,
            Some(encoding::PLAIN | encoding::PLAIN_DICTIONARY)
        ) {
            return Err(Damage("its dictionary is not written plainly"));
        }
        let (mut starts, mut at) = (Vec::new(), 0);
        match physical.width() {
            Some(width) if announced.checked_mul(width) == Some(body.bytes.len()) => {}
            Some(_) => {
                return Err(Damage(
                    "its dictionary has another number of values than it says",
                ));
            }
            None if physical == Physical::Bytes => {
                while at < body.bytes.len() {
                    starts
                        .push(u32::try_from(at).map_err(|_| Damage("its dictionary is too long"))?);
                    plain_bytes(&body.bytes, &mut at)?;
                }
                if starts.len() != announced {
                    return Err(Damage(
                        "its dictionary has another number of values than it says",
                    ));
                }
            }
            None => return Err(Damage("it is a dictionary of booleans")),
        }
        Ok(Self {
            body,
            values: announced,
            starts,
        })
    }

    fn get(&self, physical: Physical, index: usize) -> Result<&[u8], Damage> {
        const OUTSIDE: Damage = Damage("a value is not in its dictionary");
        match physical.width() {
            Some(width) if index < self.values => self
                .body
                .bytes
                .get(index * width..(index + 1) * width)
                .ok_or(OUTSIDE),
            Some(_) => Err(OUTSIDE),
            None => {
                let mut at =
                    usize::try_from(*self.starts.get(index).ok_or(OUTSIDE)?).unwrap_or(usize::MAX);
                plain_bytes(&self.body.bytes, &mut at)
            }
        }
    }
}

/// Why a value could not be handed on.
enum ValueError {
    Damage(Damage),
    Taken(PageError),
}

impl From<Damage> for ValueError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl Page {
    fn new(
        body: Body,
        values: u64,
        physical: Physical,
        nullable: bool,
        has_dictionary: bool,
    ) -> Result<Self, PageError> {
        let damaged = |Damage(what): Damage| PageError::Damaged {
            at: body.at,
            what: what.to_owned(),
        };
        let (levels, at) = levels(&body, nullable).map_err(damaged)?;
        let encoding = body.header.encoding.unwrap_or(-1);
        let values_read = values_at(&body.bytes, at, values, encoding, physical, has_dictionary)
            .map_err(damaged)?;
        let values_read = values_read.ok_or(PageError::Encoding { encoding })?;
        Ok(Self {
            left: values,
            levels,
            values: values_read,
            body,
        })
    }

    /// Hands the next value on; `false` if nobody wants more.
    fn next(
        &mut self,
        physical: Physical,
        dictionary: Option<&Dictionary>,
        take: &mut impl FnMut(Option<&[u8]>) -> Result<bool, PageError>,
    ) -> Result<bool, ValueError> {
        self.left -= 1;
        let bytes = self.body.bytes.as_slice();
        let is_there = self
            .levels
            .as_mut()
            .map_or(Ok(1), |levels| levels.next(bytes))?
            > 0;
        if !is_there {
            return take(None).map_err(ValueError::Taken);
        }
        let mut number = [0; 16];
        let value = self.values.next(bytes, physical, dictionary, &mut number)?;
        take(Some(value)).map_err(ValueError::Taken)
    }
}

/// Where the levels of a page lie, if a value may be NULL, and where its values begin.
fn levels(body: &Body, nullable: bool) -> Result<(Option<Runs>, usize), Damage> {
    const TOO_LONG: Damage = Damage("its levels are longer than it is");
    let second_version = body.header.kind() == PageKind::DataV2;
    let (begin, length) = match (second_version, nullable) {
        (true, _) => (0, level_bytes(&body.header)?),
        (false, false) => return Ok((None, 0)),
        (false, true) => {
            if body.header.levels_encoding != Some(encoding::RLE) {
                return Err(Damage("its levels are not written in runs"));
            }
            let length = body.bytes.first_chunk().ok_or(TOO_LONG)?;
            (
                4,
                usize::try_from(u32::from_le_bytes(*length)).map_err(|_| TOO_LONG)?,
            )
        }
    };
    let end = begin + length;
    if end > body.bytes.len() {
        return Err(TOO_LONG);
    }
    // Without a NULL some writers leave the levels out.
    let left_out = second_version && length == 0 && body.header.nulls == Some(0);
    let runs = (nullable && !left_out)
        .then(|| Runs::new(begin, end, 1))
        .transpose()?;
    Ok((runs, end))
}

/// The values of a page from where they begin; `None` for an encoding that its type does not have.
fn values_at(
    bytes: &[u8],
    at: usize,
    values: u64,
    encoding: i64,
    physical: Physical,
    has_dictionary: bool,
) -> Result<Option<Values>, Damage> {
    let is_bytes = matches!(physical, Physical::Bytes | Physical::Fixed(_));
    Ok(Some(match encoding {
        encoding::PLAIN if physical == Physical::Boolean => Values::Bits { bit: at * 8 },
        encoding::PLAIN => Values::Plain { at },
        encoding::PLAIN_DICTIONARY | encoding::RLE_DICTIONARY if physical != Physical::Boolean => {
            // A page of NULLs alone may hold nothing else, and needs no dictionary.
            match bytes.get(at) {
                None => Values::Plain { at },
                Some(_) if !has_dictionary => return Err(Damage("its dictionary is missing")),
                Some(width) => {
                    Values::Dictionary(Runs::new(at + 1, bytes.len(), u32::from(*width))?)
                }
            }
        }
        encoding::RLE if physical == Physical::Boolean => {
            // The length of the runs stands before them.
            Values::BooleanRuns(Runs::new((at + 4).min(bytes.len()), bytes.len(), 1)?)
        }
        encoding::DELTA_BINARY_PACKED if matches!(physical, Physical::Int32 | Physical::Int64) => {
            Values::Deltas(Deltas::new(bytes, at, values)?)
        }
        encoding::DELTA_LENGTH_BYTE_ARRAY if physical == Physical::Bytes => {
            let lengths = Deltas::new(bytes, at, values)?;
            Values::Lengths {
                at: lengths.end(bytes)?,
                lengths,
            }
        }
        encoding::DELTA_BYTE_ARRAY if is_bytes => {
            let prefixes = Deltas::new(bytes, at, values)?;
            let suffixes = Deltas::new(bytes, prefixes.end(bytes)?, values)?;
            Values::Prefixes {
                at: suffixes.end(bytes)?,
                prefixes,
                suffixes,
                last: Vec::new(),
            }
        }
        encoding::BYTE_STREAM_SPLIT => match physical.width() {
            Some(width) => {
                let length = bytes.len().saturating_sub(at);
                if !length.is_multiple_of(width) {
                    return Err(Damage("its bytes do not make whole values"));
                }
                Values::Split {
                    at,
                    count: length / width,
                    index: 0,
                }
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

const CUT_SHORT: Damage = Damage("it has fewer values than it says");

impl Values {
    /// The next value. What is no piece of the page is put together in `number`, or stays with the
    /// values.
    fn next<'a>(
        &'a mut self,
        bytes: &'a [u8],
        physical: Physical,
        dictionary: Option<&'a Dictionary>,
        number: &'a mut [u8; 16],
    ) -> Result<&'a [u8], Damage> {
        match self {
            Self::Plain { at } => match physical.width() {
                Some(width) => piece(bytes, at, width),
                None => plain_bytes(bytes, at),
            },
            Self::Dictionary(runs) => {
                let index = usize::try_from(runs.next(bytes)?).unwrap_or(usize::MAX);
                dictionary
                    .ok_or(Damage("its dictionary is missing"))?
                    .get(physical, index)
            }
            Self::Bits { bit } => {
                let byte = *bytes.get(*bit / 8).ok_or(CUT_SHORT)?;
                number[0] = (byte >> (*bit % 8)) & 1;
                *bit += 1;
                Ok(&number[..1])
            }
            Self::BooleanRuns(runs) => {
                number[0] = u8::from(runs.next(bytes)? > 0);
                Ok(&number[..1])
            }
            Self::Deltas(deltas) => {
                number[..8].copy_from_slice(&deltas.next(bytes)?.to_le_bytes());
                Ok(if physical == Physical::Int32 {
                    &number[..4]
                } else {
                    &number[..8]
                })
            }
            Self::Lengths { lengths, at } => piece(bytes, at, length(lengths.next(bytes)?)?),
            Self::Prefixes {
                prefixes,
                suffixes,
                at,
                last,
            } => {
                let (prefix, suffix) = (
                    length(prefixes.next(bytes)?)?,
                    length(suffixes.next(bytes)?)?,
                );
                if prefix > last.len() {
                    return Err(Damage("a value begins with more than the one before has"));
                }
                last.truncate(prefix);
                last.extend_from_slice(piece(bytes, at, suffix)?);
                match physical.width() {
                    Some(width) if width != last.len() => {
                        Err(Damage("a value has another length than its type"))
                    }
                    Some(_) | None => Ok(last),
                }
            }
            Self::Split { at, count, index } => {
                let width = physical
                    .width()
                    .filter(|width| *width <= number.len())
                    .ok_or(CUT_SHORT)?;
                if *index >= *count {
                    return Err(CUT_SHORT);
                }
                for (position, byte) in number.iter_mut().take(width).enumerate() {
                    *byte = *bytes
                        .get(*at + position * *count + *index)
                        .ok_or(CUT_SHORT)?;
                }
                *index += 1;
                number.get(..width).ok_or(CUT_SHORT)
            }
        }
    }
}

fn piece<'a>(bytes: &'a [u8], at: &mut usize, length: usize) -> Result<&'a [u8], Damage> {
    let end = at.checked_add(length).ok_or(CUT_SHORT)?;
    let piece = bytes.get(*at..end).ok_or(CUT_SHORT)?;
    *at = end;
    Ok(piece)
}

/// Bytes behind their length.
fn plain_bytes<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Damage> {
    let length = *piece(bytes, at, 4)?.first_chunk().ok_or(CUT_SHORT)?;
    piece(
        bytes,
        at,
        usize::try_from(u32::from_le_bytes(length)).map_err(|_| CUT_SHORT)?,
    )
}

fn length(number: i64) -> Result<usize, Damage> {
    usize::try_from(number).map_err(|_| Damage("a length is below zero"))
}
