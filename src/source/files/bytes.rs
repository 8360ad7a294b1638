//! The text of a file: its bytes, decompressed and decoded into UTF-8 on the way.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

use super::folder::OpenFile;
use crate::domain::error::SystemError;
use crate::domain::files::Compression;

/// A file's text, from its beginning.
pub(super) type Text = Box<dyn Read + Send>;

/// Bytes that are decoded at once.
const BLOCK_BYTES: usize = 64 << 10;

/// Stands where bytes mean nothing in their encoding. It is no UTF-8 either, so that whoever reads
/// the record refuses it.
const NO_CHARACTER: u8 = 0xFF;

impl OpenFile {
    /// The bytes of a text file, decompressed if its name says that it is compressed.
    pub(super) fn text(&self) -> Result<Text, SystemError> {
        let file = self.reader()?;
        Ok(match self.table.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(
                zstd::stream::read::Decoder::new(file)
                    .map_err(|error| self.table.io_failed(error))?,
            ),
        })
    }

    /// As [`OpenFile::text`], decoded as the connection says.
    pub(super) fn decoded_text(&self) -> Result<Text, SystemError> {
        let dialect = &self.table.dialect;
        let text = self.text()?;
        Ok(match dialect.is_utf8() {
            true => text,
            false => Box::new(DecodedText::new(text, dialect.encoding)),
        })
    }

    /// The first bytes, decompressed: enough to see how the file is written.
    pub(super) fn head(&self) -> Result<Vec<u8>, SystemError> {
        let mut head = Vec::new();
        let most = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        self.text()?
            .take(most)
            .read_to_end(&mut head)
            .map_err(|error| self.table.io_failed(error))?;
        Ok(head)
    }
}

/// A text in another encoding, as UTF-8. A byte order mark is obeyed and dropped.
struct DecodedText<R> {
    reader: R,
    decoder: Decoder,
    /// Read and not yet decoded.
    encoded: Vec<u8>,
    at_end: bool,
    /// Whether the decoder was told that nothing follows.
    finished: bool,
    /// DecodedText and not yet handed on, from this position.
    decoded: Vec<u8>,
    position: usize,
}

impl<R: Read> DecodedText<R> {
    fn new(reader: R, encoding: &'static Encoding) -> Self {
        Self {
            reader,
            decoder: encoding.new_decoder(),
            encoded: Vec::new(),
            at_end: false,
            finished: false,
            decoded: Vec::new(),
            position: 0,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.decoded.clear();
        self.position = 0;
        if self.encoded.is_empty() && !self.at_end {
            let most = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
            self.at_end = (&mut self.reader)
                .take(most)
                .read_to_end(&mut self.encoded)?
                == 0;
        }
        // Room for the longest form of each byte, so that the decoder never stops for lack of it.
        self.decoded.resize(self.encoded.len() * 3 + 16, 0);
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
            &self.encoded,
            &mut self.decoded,
            self.at_end,
        );
        self.encoded.drain(..read);
        self.decoded.truncate(written);
        match result {
            DecoderResult::InputEmpty => self.finished = self.at_end,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => self.decoded.push(NO_CHARACTER),
        }
        Ok(())
    }
}

impl<R: Read> Read for DecodedText<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.decoded.len() && !self.finished {
            self.fill()?;
        }
        let ready = self.decoded.get(self.position..).unwrap_or_default();
        let length = ready.len().min(buffer.len());
        let taken = ready.get(..length).unwrap_or_default();
        buffer
            .get_mut(..length)
            .unwrap_or_default()
            .copy_from_slice(taken);
        self.position += length;
        Ok(length)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use encoding_rs::{UTF_16LE, WINDOWS_1252};

    use super::*;

    fn decoded(bytes: &[u8], encoding: &'static Encoding) -> Vec<u8> {
        let mut text = Vec::new();
        DecodedText::new(bytes, encoding)
            .read_to_end(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn text_of_a_spreadsheet_becomes_utf8() {
        assert_eq!(decoded(b"K\xF6ln \x80", WINDOWS_1252), "Köln €".as_bytes());
        assert_eq!(decoded(b"\xFF\xFEK\0\xF6\0", UTF_16LE), "Kö".as_bytes());
        // The mark tells of the other order, and of UTF-8.
        assert_eq!(decoded(b"\xFE\xFF\0K\0\xF6", UTF_16LE), "Kö".as_bytes());
        let marked = "\u{feff}Kö".as_bytes();
        assert_eq!(decoded(marked, WINDOWS_1252), "Kö".as_bytes());
    }

    #[test]
    fn bytes_that_mean_nothing_are_marked_and_reading_goes_on() {
        // A half of a pair, then a letter, then half a letter.
        assert_eq!(decoded(b"\0\xD8a\0b", UTF_16LE), b"\xFFa\xFF");
    }

    #[test]
    fn long_texts_are_decoded_whole() {
        let long = "äß€".repeat(100_000);
        let (encoded, ..) = WINDOWS_1252.encode(&long);
        assert_eq!(decoded(&encoded, WINDOWS_1252), long.as_bytes());
    }
}
