//! Gates against an oracle that knows neither crontab lines nor how wall times are placed: it walks
//! the minutes around each change of each zone's clocks and notes which wall time they bring.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{Datelike, Weekday};

use super::*;

/// Minutes since 1970, of UTC or of a wall clock.
type Minute = i64;

const MINUTES_PER_DAY: Minute = 24 * 60;

/// 2000-01-01 and 2038-01-01.
const YEARS: std::ops::Range<Minute> = 15_778_080..35_765_280;

/// A change is searched where the clocks differ after so long: two changes within it that undo each
/// other, which no zone has, would not be seen.
const SCAN_STEP: Minute = MINUTES_PER_DAY;

/// How far around a change minutes are walked, and how far around it gates are compared, unless
/// they open often: those are compared for about so many openings.
const WALKED: Minute = 2 * MINUTES_PER_DAY;
const COMPARED: Minute = MINUTES_PER_DAY;
const OPENINGS_OF_MANY: Minute = 4;

/// An instant at which a zone's clocks change, and by how many minutes they are ahead of UTC before
/// and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: Minute,
    before: Minute,
    after: Minute,
}

/// A gate, and in other words when it opens.
struct Pattern {
    gate: Gate,
    opens_on: Box<dyn Fn(NaiveDate) -> bool>,
    /// Minutes of such a day, in order.
    opens_at: Vec<Minute>,
}

impl Pattern {
    fn new(
        line: &str,
        opens_on: impl Fn(NaiveDate) -> bool + 'static,
        opens_at: impl Fn(Minute, Minute) -> bool,
    ) -> Self {
        let opens_at = (0..MINUTES_PER_DAY)
            .filter(|minute| opens_at(minute / 60, minute % 60))
            .collect();
        Self {
            gate: gate(line, Tz::UTC),
            opens_on: Box::new(opens_on),
            opens_at,
        }
    }

    fn daily(hour: Minute, minute: Minute) -> Self {
        Self::new(
            &format!("{minute} {hour} * * *"),
            |_| true,
            move |h, m| (h, m) == (hour, minute),
        )
    }

    /// Opens once, in the middle of what the clocks skip or repeat.
    fn amid(change: Change) -> Self {
        let middle = change.at + (change.before + change.after) / 2;
        let (date, minute) = (date_of(middle), middle.rem_euclid(MINUTES_PER_DAY));
        let line = format!(
            "{} {} {} {} *",
            minute % 60,
            minute / 60,
            date.day(),
            date.month()
        );
        Self::new(
            &line,
            move |day| (day.month(), day.day()) == (date.month(), date.day()),
            |h, m| h * 60 + m == minute,
        )
    }

    fn opens_often(&self) -> bool {
        self.opens_at.len() > 12
    }

    /// How far around a change the pattern is compared: the less far, the more often it opens.
    fn compared(&self) -> Minute {
        let openings = Minute::try_from(self.opens_at.len()).unwrap();
        if self.opens_often() {
            COMPARED * OPENINGS_OF_MANY / openings
        } else {
            COMPARED
        }
    }
}

fn patterns() -> Vec<Pattern> {
    let every_day = |_: NaiveDate| true;
    let weekend = |day: NaiveDate| matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    let mut patterns: Vec<Pattern> = [
        (0, 0),
        (0, 30),
        (1, 59),
        (2, 0),
        (2, 15),
        (2, 30),
        (3, 0),
        (12, 0),
        (23, 30),
    ]
    .map(|(hour, minute)| Pattern::daily(hour, minute))
    .into();
    patterns.extend([
        Pattern::new(
            "15 1-3 * * SUN",
            |day| day.weekday() == Weekday::Sun,
            |h, m| m == 15 && (1..=3).contains(&h),
        ),
        Pattern::new(
            "59 23 31 * *",
            |day| day.day() == 31,
            |h, m| (h, m) == (23, 59),
        ),
        Pattern::new(
            "45 0,2 * mar-apr,10,NOV *",
            |day| [3, 4, 10, 11].contains(&day.month()),
            |h, m| m == 45 && (h == 0 || h == 2),
        ),
        Pattern::new("30 */2 * * 6-7", weekend, |h, m| m == 30 && h % 2 == 0),
        Pattern::new(
            "0 6 * * 1-5",
            move |day| !weekend(day),
            |h, m| (h, m) == (6, 0),
        ),
        Pattern::new("0 0 1-7 * *", |day| day.day() <= 7, |h, m| (h, m) == (0, 0)),
        Pattern::new(
            "30 22-23 25-31/2 * *",
            |day| day.day() >= 25 && day.day() % 2 == 1,
            |h, m| m == 30 && h >= 22,
        ),
        Pattern::new("10 * * * *", every_day, |_, m| m == 10),
        Pattern::new("*/15 * * * *", every_day, |_, m| m % 15 == 0),
        Pattern::new("*/7 0-4 * * *", every_day, |h, m| h <= 4 && m % 7 == 0),
        Pattern::new("* 2 * * *", every_day, |h, _| h == 2),
        Pattern::new("* * * * *", every_day, |_, _| true),
    ]);
    patterns
}

#[test]
fn gates_open_as_a_walk_over_the_minutes_finds() {
    let places = places();
    let changes: usize = places.iter().map(|(_, zones)| zones.len()).sum();
    assert!(changes > 15_000, "{changes} changes of clocks are too few");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut patterns = patterns();
        while let Some((surroundings, zones)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            compare(surroundings, zones, &mut patterns);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

/// A change and all changes so close to it that they could matter, with the zones that have just
/// these: there the same is expected.
type Surroundings = (Change, Vec<Change>);

fn places() -> Vec<(Surroundings, Vec<Tz>)> {
    let mut places: BTreeMap<Surroundings, Vec<Tz>> = BTreeMap::new();
    for zone in chrono_tz::TZ_VARIANTS {
        let changes = changes(zone);
        for change in &changes {
            let near = changes
                .iter()
                .copied()
                .filter(|other| (other.at - change.at).abs() <= 2 * WALKED)
                .collect();
            places.entry((*change, near)).or_default().push(zone);
        }
    }
    places.into_iter().collect()
}

fn changes(zone: Tz) -> Vec<Change> {
    let mut changes = Vec::new();
    for from in YEARS.step_by(usize::try_from(SCAN_STEP).unwrap()) {
        let (mut same, mut differs) = (from, from + SCAN_STEP);
        let (before, after) = (offset(same, zone), offset(differs, zone));
        if before == after {
            continue;
        }
        while differs - same > 1 {
            let middle = same.midpoint(differs);
            *(if offset(middle, zone) == before {
                &mut same
            } else {
                &mut differs
            }) = middle;
        }
        assert_eq!(
            offset(differs, zone),
            after,
            "{zone} changes its clocks twice after {}",
            utc(from)
        );
        changes.push(Change {
            at: differs,
            before,
            after,
        });
    }
    changes
}

/// Minutes by which the clocks of `zone` are ahead of UTC during the minute `at`.
fn offset(at: Minute, zone: Tz) -> Minute {
    let seconds = zone
        .offset_from_utc_datetime(&utc(at).naive_utc())
        .fix()
        .local_minus_utc();
    assert_eq!(seconds % 60, 0, "{zone} is off by seconds at {}", utc(at));
    Minute::from(seconds / 60)
}

/// Compares the first zone by all patterns and in both directions of time, each other one by those
/// that open seldom.
fn compare((change, near): &Surroundings, zones: &[Tz], patterns: &mut [Pattern]) {
    let walk = Walk::new(*change, near);
    let mut amid = Pattern::amid(*change);
    for pattern in patterns.iter_mut().chain([&mut amid]) {
        let around = change.at - pattern.compared()..change.at + pattern.compared();
        let (begin, end) = (utc(around.start), utc(around.end));
        let expected: Vec<_> = walk
            .openings(pattern)
            .into_iter()
            .filter(|at| around.contains(at))
            .map(utc)
            .collect();
        let compared = if pattern.opens_often() {
            1
        } else {
            zones.len()
        };
        for zone in zones.iter().take(compared) {
            pattern.gate.zone = *zone;
            let openings = forwards(&pattern.gate, begin, end);
            assert_eq!(
                openings, expected,
                "`{}` in {zone} from {begin} to {end}",
                pattern.gate.cron
            );
        }
        let amid_what_follows = change.at + (change.after - change.before).abs() / 2;
        for split in [change.at, amid_what_follows.min(around.end)].map(utc) {
            let (mut earlier, later) = (
                backwards(&pattern.gate, begin, split),
                forwards(&pattern.gate, split, end),
            );
            earlier.reverse();
            let openings = [earlier, later].concat();
            assert_eq!(
                openings, expected,
                "`{}` in {} around {split}",
                pattern.gate.cron, pattern.gate.zone
            );
        }
    }
}

fn forwards(gate: &Gate, begin: DateTime<Utc>, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let next = |at: &DateTime<Utc>| gate.first_from(*at + TimeDelta::seconds(1));
    std::iter::successors(gate.first_from(begin), next)
        .take_while(|at| *at < end)
        .collect()
}

fn backwards(gate: &Gate, begin: DateTime<Utc>, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let previous = |at: &DateTime<Utc>| gate.last_until(*at - TimeDelta::seconds(1));
    std::iter::successors(previous(&end), previous)
        .take_while(|at| *at >= begin)
        .collect()
}

/// The minutes of UTC around a change, walked one after the other.
struct Walk {
    first_wall: Minute,
    /// The minute that each wall time from `first_wall` on stands for.
    stands_for: Vec<Minute>,
}

impl Walk {
    fn new(change: Change, near: &[Change]) -> Self {
        let ahead = |at: Minute| match near.iter().rfind(|change| change.at <= at) {
            Some(change) => change.after,
            None => near.first().map_or(0, |change| change.before),
        };
        let begin = change.at - WALKED;
        let first_wall = begin + ahead(begin);
        let mut stands_for = Vec::new();
        let mut never_shown = first_wall;
        for at in begin..change.at + WALKED {
            let wall = at + ahead(at);
            while never_shown <= wall {
                stands_for.push(at);
                never_shown += 1;
            }
        }
        Self {
            first_wall,
            stands_for,
        }
    }

    fn openings(&self, pattern: &Pattern) -> Vec<Minute> {
        let first_midnight = self.first_wall - self.first_wall.rem_euclid(MINUTES_PER_DAY);
        let end = self.first_wall + Minute::try_from(self.stands_for.len()).unwrap();
        let midnights = (first_midnight..end)
            .step_by(24 * 60)
            .filter(|midnight| (pattern.opens_on)(date_of(*midnight)));
        let walls = midnights
            .flat_map(|midnight| pattern.opens_at.iter().map(move |minute| midnight + minute));
        let index = |wall: Minute| usize::try_from(wall - self.first_wall).ok();
        let mut openings: Vec<_> = walls
            .filter_map(|wall| self.stands_for.get(index(wall)?).copied())
            .collect();
        openings.dedup();
        openings
    }
}

fn date_of(wall: Minute) -> NaiveDate {
    utc(wall).date_naive()
}

fn utc(minute: Minute) -> DateTime<Utc> {
    DateTime::from_timestamp(minute * 60, 0).unwrap()
}
