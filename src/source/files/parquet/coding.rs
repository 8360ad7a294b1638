//! How values and levels are written within a page: runs, deltas. Each cursor remembers a place in
//! the page's bytes and takes one value at a time, so that a page need not be spelled out to be
//! read. Source: <https://github.com/apache/parquet-format/blob/master/Encodings.md>.

use super::pages::Damage;

/// Bits of the widest value of a run.
const RUN_BITS_MAX: u32 = 32;

/// Values of one block of deltas; writers use 128.
const BLOCK_VALUES_MAX: u64 = 1 << 16;

/// Numbers in runs of one value and in groups of eight: levels, positions in a dictionary,
/// booleans.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    at: usize,
    end: usize,
    width: u32,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    Same { value: u32, left: u64 },
    Packed { bit: usize, left: u64 },
}

impl Runs {
    /// Runs that lie between two places and hold numbers of so many bits.
    pub(super) fn new(at: usize, end: usize, width: u32) -> Result<Self, Damage> {
        match width <= RUN_BITS_MAX {
            true => Ok(Self {
                at,
                end,
                width,
                run: Run::Same { value: 0, left: 0 },
            }),
            false => Err(Damage("positions are wider than 32 bits")),
        }
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<u32, Damage> {
        loop {
            match &mut self.run {
                Run::Same { value, left } if *left > 0 => {
                    *left -= 1;
                    return Ok(*value);
                }
                Run::Packed { bit, left } if *left > 0 => {
                    let value = unpack(bytes, *bit, self.width, self.end)?;
                    *left -= 1;
                    *bit += usize::try_from(self.width).unwrap_or(0);
                    return u32::try_from(value).map_err(|_| Damage("a position is too wide"));
                }
                Run::Same { .. } | Run::Packed { .. } => self.run = self.next_run(bytes)?,
            }
        }
    }

    fn next_run(&mut self, bytes: &[u8]) -> Result<Run, Damage> {
        let bytes = bytes.get(..self.end).ok_or(CUT_SHORT)?;
        let head = varint(bytes, &mut self.at)?;
        if head & 1 == 1 {
            let (values, bit) = ((head >> 1).saturating_mul(8), self.at.saturating_mul(8));
            let length = (head >> 1).saturating_mul(u64::from(self.width));
            // The last group may be cut where nothing of it is wanted.
            self.at = self
                .at
                .saturating_add(usize::try_from(length).unwrap_or(usize::MAX))
                .min(self.end);
            return Ok(Run::Packed { bit, left: values });
        }
        let width = usize::try_from(self.width.div_ceil(8)).unwrap_or(0);
        let value = bytes.get(self.at..self.at + width).ok_or(CUT_SHORT)?;
        self.at += width;
        let value = value
            .iter()
            .rev()
            .fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        Ok(Run::Same {
            value,
            left: head >> 1,
        })
    }
}

const CUT_SHORT: Damage = Damage("it ends too soon");

/// The number of `width` bits that begins at a bit of `bytes`, none of them at or behind byte
/// `end`.
fn unpack(bytes: &[u8], bit: usize, width: u32, end: usize) -> Result<u64, Damage> {
    let width_bits = usize::try_from(width).unwrap_or(0);
    let (first, last) = (bit / 8, (bit + width_bits).div_ceil(8));
    if width == 0 {
        return Ok(0);
    }
    if last > end {
        return Err(CUT_SHORT);
    }
    let word = bytes.get(first..last).ok_or(CUT_SHORT)?;
    let word = word
        .iter()
        .rev()
        .fold(0_u128, |word, byte| (word << 8) | u128::from(*byte));
    let mask = (1_u128 << width) - 1;
    u64::try_from((word >> (bit % 8)) & mask).map_err(|_| CUT_SHORT)
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Damage> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(CUT_SHORT)?;
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damage("a number has no end"))
}

fn zigzag(bytes: &[u8], at: &mut usize) -> Result<i64, Damage> {
    let number = varint(bytes, at)?;
    Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
}

/// Integers as differences from one to the next.
#[derive(Debug, Clone)]
pub(super) struct Deltas {
    at: usize,
    end: usize,
    /// Values to come.
    left: u64,
    value: i64,
    is_first: bool,
    miniblocks: u64,
    miniblock_values: u64,
    /// Of the block at hand: where its widths lie, which miniblock is at hand, and what every
    /// difference has.
    widths: usize,
    miniblock: u64,
    difference_min: i64,
    /// Of the miniblock at hand.
    width: u32,
    bit: usize,
    miniblock_left: u64,
}

impl Deltas {
    /// Deltas that begin at a place and hold no more values than their page.
    pub(super) fn new(bytes: &[u8], mut at: usize, values_max: u64) -> Result<Self, Damage> {
        let block_values = varint(bytes, &mut at)?;
        let miniblocks = varint(bytes, &mut at)?;
        let left = varint(bytes, &mut at)?;
        let value = zigzag(bytes, &mut at)?;
        let is_sound = (1..=BLOCK_VALUES_MAX).contains(&block_values)
            && block_values % 128 == 0
            && miniblocks > 0
            && block_values % miniblocks == 0
            && (block_values / miniblocks) % 32 == 0;
        if !is_sound || left > values_max {
            return Err(Damage("its deltas are not blocked as deltas are"));
        }
        Ok(Self {
            at,
            end: bytes.len(),
            left,
            value,
            is_first: true,
            miniblocks,
            miniblock_values: block_values / miniblocks,
            widths: at,
            miniblock: miniblocks,
            difference_min: 0,
            width: 0,
            bit: 0,
            miniblock_left: 0,
        })
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<i64, Damage> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Damage("it has fewer deltas than values"))?;
        if std::mem::take(&mut self.is_first) {
            return Ok(self.value);
        }
        if self.miniblock_left == 0 {
            self.next_miniblock(bytes)?;
        }
        let difference = unpack(bytes, self.bit, self.width, self.end)?.cast_signed();
        self.bit += usize::try_from(self.width).unwrap_or(0);
        self.miniblock_left -= 1;
        self.value = self
            .value
            .wrapping_add(self.difference_min)
            .wrapping_add(difference);
        Ok(self.value)
    }

    fn next_miniblock(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        self.miniblock += 1;
        if self.miniblock >= self.miniblocks {
            self.difference_min = zigzag(bytes, &mut self.at)?;
            self.widths = self.at;
            self.at = self.at.saturating_add(size(self.miniblocks));
            self.miniblock = 0;
        }
        let width = *bytes
            .get(self.widths.saturating_add(size(self.miniblock)))
            .ok_or(CUT_SHORT)?;
        if width > 64 {
            return Err(Damage("a delta is wider than 64 bits"));
        }
        self.width = u32::from(width);
        self.bit = self.at.saturating_mul(8);
        self.at = self
            .at
            .saturating_add(size(u64::from(width) * self.miniblock_values / 8));
        self.miniblock_left = self.miniblock_values;
        Ok(())
    }

    /// Where the deltas end, found by reading on to there.
    pub(super) fn end(&self, bytes: &[u8]) -> Result<usize, Damage> {
        let mut ahead = self.clone();
        while ahead.left > 0 {
            ahead.next(bytes)?;
        }
        Ok(ahead.at)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn runs_hold_repeated_and_packed_numbers() {
        // Five times 4, then 0 to 7 packed in three bits each, as the specification shows them.
        let bytes = [0b1010, 4, 0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut runs = Runs::new(0, bytes.len(), 3).unwrap();
        let read: Vec<u32> = (0..13).map(|_| runs.next(&bytes).unwrap()).collect();
        assert_eq!(read, [4, 4, 4, 4, 4, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(runs.next(&bytes).is_err());
        assert!(Runs::new(0, 0, 33).is_err());
    }

    #[test]
    fn deltas_are_added_up() {
        // The specification's second example: 7, 5, 3, 1, 2, 3, 4, 5.
        let mut bytes = vec![0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0];
        bytes.extend([0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
        let mut deltas = Deltas::new(&bytes, 0, 8).unwrap();
        assert_eq!(deltas.end(&bytes).unwrap(), bytes.len());
        let read: Vec<i64> = (0..8).map(|_| deltas.next(&bytes).unwrap()).collect();
        assert_eq!(read, [7, 5, 3, 1, 2, 3, 4, 5]);
        assert!(deltas.next(&bytes).is_err());
        assert!(Deltas::new(&bytes, 0, 7).is_err());
    }
}
