//! Reads a file block by block and keeps what is not yet used in one piece, so that whoever reads
//! records sees each with all its bytes side by side.

use std::io::{self, Read};

/// Bytes read at once: large enough that the calls do not show, small enough to stay in a
/// processor's cache.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// The longest record: a cell of 64 MiB and what stands beside it. Longer ones are no scores or
/// texts but an unclosed quote or a file of another kind, and would have to be held in memory
/// whole.
pub(super) const RECORD_BYTES_MAX: usize = 65 << 20;

/// A window on a file that moves forward.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bounds within `buffer` of what is read and not yet consumed.
    start: usize,
    end: usize,
    block_bytes: usize,
    at_end: bool,
    /// Of `start` within the file.
    offset: u64,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R, block_bytes: usize) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            block_bytes: block_bytes.max(1),
            at_end: false,
            offset: 0,
        }
    }

    /// What is read and not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the file holds nothing after [`Blocks::unread`].
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Bytes of the file before [`Blocks::unread`].
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Skips a byte order mark of UTF-8 at the start of the file. Tells whether there is that of
    /// UTF-16, in which nothing here can be read.
    pub(super) fn skip_byte_order_mark(&mut self) -> io::Result<bool> {
        while self.unread().len() < 3 && !self.at_end {
            self.fill()?;
        }
        if self.unread().starts_with(b"\xEF\xBB\xBF") {
            self.consume(3);
        }
        Ok(matches!(self.unread(), [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]))
    }

    /// Reads on: at least as much as is unread already, so that a record that spans many blocks is
    /// looked at a few times only.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let wanted = self.end + self.end.max(self.block_bytes).min(RECORD_BYTES_MAX);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted && !self.at_end {
            let room = self.buffer.get_mut(self.end..wanted).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
