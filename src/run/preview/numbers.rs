//! The numbers of a column before and after a run, in memory that does not grow with the records:
//! extremes are exact; medians and histograms are, too, up to a bound, and beyond it those of a
//! sample.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers are drawn and summed up here, never written; each cast says what bounds it"
)]

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// Values kept of a column's one side. The median of so many, drawn at random from any number of
/// values, stands within one percent of their order from its true place, nineteen times out of
/// twenty.
const KEPT_MAX: usize = 10_000;
/// Bars of a histogram: as many as are told apart on a page.
const BARS_MAX: f64 = 40.0;

/// A column's numbers in the records that would be written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Numbers {
    /// Of the rows that would be updated; absent if none holds a number.
    pub(crate) before: Option<Spread>,
    /// Of the rows as they would be, inserted ones among them.
    pub(crate) after: Option<Spread>,
    /// Absent if there are no two different numbers.
    pub(crate) histogram: Option<Histogram>,
}

/// How far numbers reach, and where their middle is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// How many there are; NULLs are none.
    pub(crate) records: u64,
    pub(crate) minimum: f64,
    pub(crate) median: f64,
    pub(crate) maximum: f64,
    /// Whether the median is that of a sample.
    pub(crate) about: bool,
}

/// How many rows hold a number between two edges.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Histogram {
    /// One more than there are bars. A bar has its lower edge and not its upper one; the last may
    /// have both.
    pub(crate) edges: Vec<f64>,
    pub(crate) before: Vec<u64>,
    pub(crate) after: Vec<u64>,
    /// Whether the counts are estimated from a sample.
    pub(crate) about: bool,
}

/// Whether a column's numbers are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Whole,
    Fraction,
}

/// Collects both sides of a column.
#[derive(Debug)]
pub(super) struct NumberCollector {
    unit: Unit,
    before: Side,
    after: Side,
}

impl NumberCollector {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit,
            before: Side::default(),
            after: Side::default(),
        }
    }

    pub(super) fn add_before(&mut self, text: Option<&str>) {
        self.before.add(text);
    }

    pub(super) fn add_after(&mut self, text: Option<&str>) {
        self.after.add(text);
    }

    pub(super) fn finish(self) -> Numbers {
        let histogram = histogram(self.unit, &self.before, &self.after);
        Numbers {
            before: self.before.spread(),
            after: self.after.spread(),
            histogram,
        }
    }
}

/// One side: a count, extremes, and values of which each that came was as likely to stay as any
/// other.
#[derive(Debug)]
struct Side {
    records: u64,
    minimum: f64,
    maximum: f64,
    kept: Vec<f64>,
}

impl Default for Side {
    fn default() -> Self {
        Self {
            records: 0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            kept: Vec::new(),
        }
    }
}

impl Side {
    /// Takes a value. What is no number, which SQLite holds in any column, is left out, and so is
    /// what is not finite.
    fn add(&mut self, text: Option<&str>) {
        let number = text.and_then(|text| text.parse::<f64>().ok());
        let Some(number) = number.filter(|number| number.is_finite()) else {
            return;
        };
        self.records += 1;
        self.minimum = self.minimum.min(number);
        self.maximum = self.maximum.max(number);
        if self.kept.len() < KEPT_MAX {
            self.kept.push(number);
        } else if let Some(place) = self.kept.get_mut(drawn(self.records)) {
            *place = number;
        }
    }

    fn is_sampled(&self) -> bool {
        self.records > count(self.kept.len())
    }

    fn spread(mut self) -> Option<Spread> {
        self.kept.sort_by(f64::total_cmp);
        let middle = |before: usize| {
            self.kept
                .get(self.kept.len().checked_sub(before)? / 2)
                .copied()
        };
        let median = middle(1)? / 2.0 + middle(0)? / 2.0;
        let about = self.is_sampled();
        Some(Spread {
            records: self.records,
            minimum: self.minimum,
            median: tidy(median),
            maximum: self.maximum,
            about,
        })
    }

    /// How many of all records lie in each of the bars, going by those kept.
    fn in_bars(&self, bars: &Bars) -> Vec<u64> {
        let mut counts = vec![0_u128; bars.count];
        for number in &self.kept {
            if let Some(count) = counts.get_mut(bars.position(*number)) {
                *count += 1;
            }
        }
        let kept = u128::from(count(self.kept.len()).max(1));
        let scaled = |count: u128| (count * u128::from(self.records) + kept / 2) / kept;
        counts
            .into_iter()
            .map(|count| u64::try_from(scaled(count)).unwrap_or(u64::MAX))
            .collect()
    }
}

/// Which place the value that came as number `records` takes, any of as many as came: so each is as
/// likely to be kept. The same values make the same sample. Source: algorithm R in Vitter, Random
/// sampling with a reservoir, <https://doi.org/10.1145/3147.3165>.
fn drawn(records: u64) -> usize {
    usize::try_from(xxh3_64(&records.to_le_bytes()) % records).unwrap_or(usize::MAX)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A number to fifteen digits, which are all that a double-precision number tells for certain.
pub(crate) fn tidy(number: f64) -> f64 {
    format!("{number:.14e}").parse().unwrap_or(number)
}

/// Bars of one width, whose edges are multiples of it.
#[derive(Debug)]
struct Bars {
    /// Position of the first edge, in widths from zero.
    first: f64,
    width: Width,
    count: usize,
}

impl Bars {
    /// Bars that hold all numbers from `minimum` to `maximum`; `None` if the two are too close to
    /// tell apart, or too far.
    fn over(unit: Unit, minimum: f64, maximum: f64) -> Option<Self> {
        let range = maximum - minimum;
        let far_from_zero = minimum.abs().max(maximum.abs());
        if !range.is_finite() || range <= far_from_zero * 1e-12 || range < f64::MIN_POSITIVE * 1e3 {
            return None;
        }
        let width = Width::at_least(range / BARS_MAX).not_below_one_if(unit == Unit::Whole);
        let is_whole_number = unit == Unit::Whole && width.value() <= 1.0;
        let (first, last) = (width.whole_in(minimum), width.whole_in(maximum));
        // The greatest number needs no bar of its own if it stands on the last edge, as 100 often
        // does; but where each whole number has its bar, so has this one.
        let is_on_edge = width.times(last) >= maximum && last > first && !is_whole_number;
        // No more than the range has widths, which are about `BARS_MAX`.
        Some(Self {
            first,
            width,
            count: (last - first) as usize + usize::from(!is_on_edge),
        })
    }

    /// Which bar a number lies in.
    fn position(&self, number: f64) -> usize {
        // Of bars there are few, and no number is outside of them by more than a width.
        let position = (self.width.whole_in(number) - self.first).max(0.0) as usize;
        position.min(self.count.saturating_sub(1))
    }

    fn edges(&self) -> Vec<f64> {
        (0_u32..)
            .take(self.count + 1)
            .map(|edge| self.width.times(self.first + f64::from(edge)))
            .collect()
    }
}

/// One, two or five times a power of ten.
#[derive(Debug, Clone, Copy)]
struct Width {
    digit: f64,
    exponent: i32,
}

impl Width {
    /// The narrowest that is not below `least`, which is positive.
    fn at_least(least: f64) -> Self {
        let exponent = least.log10().floor() as i32;
        let digits = [1.0, 2.0, 5.0]
            .into_iter()
            .map(|digit| Self { digit, exponent });
        let mut wide_enough = digits.filter(|width| width.value() >= least);
        wide_enough.next().unwrap_or(Self {
            digit: 1.0,
            exponent: exponent + 1,
        })
    }

    fn not_below_one_if(self, whole: bool) -> Self {
        if whole && self.exponent < 0 {
            Self {
                digit: 1.0,
                exponent: 0,
            }
        } else {
            self
        }
    }

    fn value(self) -> f64 {
        self.times(1.0)
    }

    /// How many widths there are up to a number. One that stands on an edge, but for rounding,
    /// counts as standing there.
    fn whole_in(self, number: f64) -> f64 {
        let widths = match self.exponent {
            0.. => number / 10_f64.powi(self.exponent) / self.digit,
            ..0 => number * 10_f64.powi(-self.exponent) / self.digit,
        };
        (widths + 1e-9).floor()
    }

    /// Dividing by a power of ten is exact where multiplying with a tenth is not.
    fn times(self, count: f64) -> f64 {
        match self.exponent {
            0.. => self.digit * count * 10_f64.powi(self.exponent),
            ..0 => self.digit * count / 10_f64.powi(-self.exponent),
        }
    }
}

fn histogram(unit: Unit, before: &Side, after: &Side) -> Option<Histogram> {
    let bars = Bars::over(
        unit,
        before.minimum.min(after.minimum),
        before.maximum.max(after.maximum),
    )?;
    Some(Histogram {
        edges: bars.edges(),
        before: before.in_bars(&bars),
        after: after.in_bars(&bars),
        about: before.is_sampled() || after.is_sampled(),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(unit: Unit, before: &[&str], after: &[&str]) -> Numbers {
        let mut collector = NumberCollector::new(unit);
        before
            .iter()
            .for_each(|text| collector.add_before(Some(text)));
        after
            .iter()
            .for_each(|text| collector.add_after(Some(text)));
        collector.finish()
    }

    #[test]
    fn a_few_numbers_are_told_exactly() {
        let numbers = numbers(
            Unit::Fraction,
            &["3", "0.1", "0.2"],
            &["-2.50", "4", "n/a", "NaN", "1e1", "5"],
        );
        let exactly = |records, minimum, median, maximum| Spread {
            records,
            minimum,
            median,
            maximum,
            about: false,
        };
        assert_eq!(numbers.before, Some(exactly(3, 0.1, 0.2, 3.0)));
        assert_eq!(numbers.after, Some(exactly(4, -2.5, 4.5, 10.0)));
    }

    #[test]
    fn a_median_has_no_digits_of_its_own() {
        let numbers = numbers(Unit::Fraction, &["0.1", "0.2"], &["0.7", "0.1"]);
        assert_eq!(numbers.before.unwrap().median.to_string(), "0.15");
        assert_eq!(numbers.after.unwrap().median.to_string(), "0.4");
    }

    #[test]
    fn bars_have_edges_that_people_would_draw() {
        let histogram = numbers(Unit::Fraction, &["0.1", "0.15", "0.3"], &["3.9"])
            .histogram
            .unwrap();
        assert_eq!(histogram.edges.get(..4).unwrap(), [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(histogram.before.get(..4).unwrap(), [2, 0, 1, 0]);
        assert_eq!(
            (histogram.edges.last(), histogram.after.last()),
            (Some(&3.9), Some(&1))
        );
        let whole = numbers(Unit::Whole, &["1", "2"], &["3"]).histogram.unwrap();
        let expected = Histogram {
            edges: vec![1.0, 2.0, 3.0, 4.0],
            before: vec![1, 1, 0],
            after: vec![0, 0, 1],
            about: false,
        };
        assert_eq!(whole, expected);
    }

    #[test]
    fn numbers_that_are_all_the_same_or_no_numbers_have_no_histogram() {
        assert_eq!(
            numbers(Unit::Fraction, &["1"], &["1", "1.0"]).histogram,
            None
        );
        assert_eq!(
            numbers(Unit::Fraction, &[], &["x"]),
            Numbers {
                before: None,
                after: None,
                histogram: None
            }
        );
        assert_eq!(
            numbers(Unit::Fraction, &["1e18"], &["1000000000000000100"]).histogram,
            None
        );
        assert_eq!(
            numbers(Unit::Fraction, &["-1e308"], &["1e308"]).histogram,
            None
        );
    }

    #[test]
    fn beyond_the_bound_memory_stays_and_the_median_is_about_right() {
        let mut side = Side::default();
        for number in 0..200_000 {
            side.add(Some(&number.to_string()));
            assert!(side.kept.len() <= KEPT_MAX);
        }
        let bars = Bars::over(Unit::Whole, 0.0, 199_999.0).unwrap();
        let counts = side.in_bars(&bars);
        assert!(
            counts.iter().all(|count| (4_000..6_000).contains(count)),
            "{counts:?}"
        );
        let spread = side.spread().unwrap();
        assert_eq!(
            (spread.records, spread.minimum, spread.maximum),
            (200_000, 0.0, 199_999.0)
        );
        assert!(
            spread.about && (98_000.0..102_000.0).contains(&spread.median),
            "{spread:?}"
        );
    }

    proptest! {
        #[test]
        fn every_number_is_in_one_bar_between_its_edges(
            before in proptest::collection::vec(-1e9_f64..1e9, 1..50),
            after in proptest::collection::vec(any::<f64>().prop_filter("finite", |number| number.is_finite()), 0..3),
            whole: bool,
        ) {
            let texts = |numbers: &[f64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
            let mut collector = NumberCollector::new(if whole { Unit::Whole } else { Unit::Fraction });
            texts(&before).iter().for_each(|text| collector.add_before(Some(text)));
            texts(&after).iter().for_each(|text| collector.add_after(Some(text)));
            if let Some(histogram) = collector.finish().histogram {
                prop_assert_eq!(histogram.edges.len(), histogram.before.len() + 1);
                prop_assert!(histogram.before.len() <= 42);
                prop_assert_eq!(histogram.before.iter().sum::<u64>(), count(before.len()));
                prop_assert_eq!(histogram.after.iter().sum::<u64>(), count(after.len()));
                prop_assert!(histogram.edges.iter().zip(histogram.edges.iter().skip(1)).all(|(low, high)| low < high));
            }
        }
    }
}
