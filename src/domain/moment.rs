//! Dates, times of day, timestamps and instants as text, read and written exactly. Years run from 1
//! to 9999: that is what `YYYY` can say and what every database holds.

use chrono::{
    DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Weekday,
};
use chrono_tz::Tz;

/// Where wall clocks hang. A timestamp without a zone becomes an instant only if the source names
/// its zone; an instant is written to a column without a zone as the destination's wall clock, UTC
/// unless it names another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Zones {
    pub(crate) source: Option<Tz>,
    pub(crate) destination: Option<Tz>,
}

/// Days from 0000-12-31 to 1970-01-01, as chrono counts them.
const EPOCH_DAY: i32 = 719_163;

pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
pub(crate) const NANOS_PER_MICRO: i64 = 1_000;
pub(crate) const NANOS_PER_DAY: i64 = MICROS_PER_DAY * NANOS_PER_MICRO;

/// 0001-01-01, in days and microseconds since 1970.
pub(crate) const DAY_MIN: i32 = -719_162;
pub(crate) const MICROS_MIN: i64 = -719_162 * MICROS_PER_DAY;
/// 9999-12-31, in days since 1970, and its last microsecond.
pub(crate) const DAY_MAX: i32 = 2_932_896;
pub(crate) const MICROS_MAX: i64 = 2_932_897 * MICROS_PER_DAY - 1;

pub(crate) const OUTSIDE_YEARS: &str = "outside the years 0001 to 9999";
pub(crate) const HAS_ZONE: &str = "has a time zone; declare the column TIMESTAMP WITH TIME ZONE";
pub(crate) const FINER_THAN_MICROS: &str = "finer than a microsecond";

/// Reads `YYYY-MM-DD` into days since 1970.
pub(crate) fn parse_date(text: &str) -> Result<i32, String> {
    let not_date = || "not a date: YYYY-MM-DD is expected".to_owned();
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else {
        return Err(not_date());
    };
    let pairs = (
        two_digits(y1, y2),
        two_digits(y3, y4),
        two_digits(m1, m2),
        two_digits(d1, d2),
    );
    let (Some(century), Some(year), Some(month), Some(day)) = pairs else {
        return Err(not_date());
    };
    let year = century * 100 + year;
    let date = i32::try_from(year)
        .ok()
        .filter(|year| *year > 0)
        .map(|year| NaiveDate::from_ymd_opt(year, month, day));
    match date {
        Some(Some(date)) => Ok(date.num_days_from_ce() - EPOCH_DAY),
        None => Err("not a date: year 0".to_owned()),
        Some(None) if !(1..=12).contains(&month) => Err(format!("not a date: month {month}")),
        Some(None) => Err(format!(
            "not a date: month {month} of that year has no day {day}"
        )),
    }
}

/// Reads `HH:MM[:SS[.ffffff]]` into nanoseconds since midnight, whole microseconds.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    match parse_clock(text)? {
        (micros, "") => Ok(micros * NANOS_PER_MICRO),
        (_, rest) if begins_zone(rest) => Err("has a time zone, and TIME has none".to_owned()),
        (_, _) => Err(not_time()),
    }
}

/// Reads a date, `T` or a blank, and a time into microseconds of a wall clock.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, String> {
    match parse_wall(text)? {
        (micros, "") => Ok(micros),
        (_, rest) if begins_zone(rest) => Err(HAS_ZONE.to_owned()),
        (_, _) => Err(not_time()),
    }
}

/// Reads a timestamp with `Z`, `+hh`, `+hhmm` or `+hh:mm` behind it into microseconds since 1970 in
/// UTC.
pub(crate) fn parse_instant(text: &str) -> Result<i64, String> {
    let (wall, rest) = parse_wall(text)?;
    if rest.is_empty() {
        return Err("has no time zone, such as Z or +02:00".to_owned());
    }
    if !begins_zone(rest) {
        return Err(not_time());
    }
    let offset = parse_offset(rest)
        .ok_or_else(|| "its time zone is none of Z, +hh, +hhmm and +hh:mm".to_owned())?;
    let instant = wall - offset;
    if (MICROS_MIN..=MICROS_MAX).contains(&instant) {
        Ok(instant)
    } else {
        Err(format!("{OUTSIDE_YEARS} in UTC"))
    }
}

/// Writes days since 1970 as `YYYY-MM-DD`.
pub(crate) fn write_date(days: i32, out: &mut String) {
    let Some(date) = days
        .checked_add(EPOCH_DAY)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
    else {
        return; // Checked on the way in: no year beyond 9999 comes here.
    };
    push_padded(i64::from(date.year()), 4, out);
    out.push('-');
    push_padded(i64::from(date.month()), 2, out);
    out.push('-');
    push_padded(i64::from(date.day()), 2, out);
}

/// Writes nanoseconds since midnight as `HH:MM:SS[.f…]`, the fraction without trailing zeros.
pub(crate) fn write_time(nanos: i64, out: &mut String) {
    write_clock(nanos.div_euclid(NANOS_PER_MICRO), out);
}

/// Writes microseconds of a wall clock as `YYYY-MM-DD HH:MM:SS[.f…]`.
pub(crate) fn write_timestamp(micros: i64, out: &mut String) {
    write_wall(micros, ' ', out);
}

/// Writes an instant as RFC 3339 has it, in UTC: `YYYY-MM-DDTHH:MM:SS[.f…]Z`.
pub(crate) fn write_instant(micros: i64, out: &mut String) {
    write_wall(micros, 'T', out);
    out.push('Z');
}

/// The instant at which the clocks of a zone showed a wall time.
/// Errors: they never showed it, or twice.
pub(crate) fn wall_to_instant(wall: i64, zone: Tz) -> Result<i64, String> {
    if zone == Tz::UTC {
        return Ok(wall);
    }
    let naive = DateTime::from_timestamp_micros(wall)
        .ok_or_else(|| OUTSIDE_YEARS.to_owned())?
        .naive_utc();
    let within = within_tables(naive, zone, |naive| {
        zone.from_local_datetime(&naive).map(|at| at.offset().fix())
    })?;
    let instant = match within {
        LocalResult::Single(offset) => {
            wall - i64::from(offset.local_minus_utc()) * MICROS_PER_SECOND
        }
        LocalResult::None => return Err(format!("the clocks of {zone} skipped this time")),
        LocalResult::Ambiguous(_, _) => {
            return Err(format!("the clocks of {zone} showed this time twice"));
        }
    };
    if (MICROS_MIN..=MICROS_MAX).contains(&instant) {
        Ok(instant)
    } else {
        Err(format!("{OUTSIDE_YEARS} in UTC"))
    }
}

/// The last year of which the zones' tables tell when clocks change: they end there, and the rules
/// go on.
const TABLE_YEAR_LAST: i32 = 2099;

/// Weekdays and leap days come again after so many years, as long as no century without a leap day
/// is among them.
const CALENDAR_YEARS: i32 = 28;

/// Asks a zone's tables about a moment; of one beyond them, about the same day of a year with the
/// same calendar, for rules go by weekdays. A zone whose clocks no longer change then is as it is.
/// Errors: the clocks go by something else, such as the moon, and nobody knows yet what they will
/// show.
fn within_tables<T: PartialEq>(
    moment: NaiveDateTime,
    zone: Tz,
    ask: impl Fn(NaiveDateTime) -> T,
) -> Result<T, String> {
    if moment.year() <= TABLE_YEAR_LAST || !changes_clocks(zone) {
        return Ok(ask(moment));
    }
    let has_the_calendar = |year: &i32| calendar_of(*year) == calendar_of(moment.year());
    let alike = |last: i32| {
        (last - CALENDAR_YEARS + 1..=last)
            .rev()
            .find(has_the_calendar)
    };
    let told = |year: Option<i32>| Some(ask(moment.with_year(year?)?));
    let later = told(alike(TABLE_YEAR_LAST));
    match later {
        Some(answer) if told(alike(TABLE_YEAR_LAST - CALENDAR_YEARS)).as_ref() == Some(&answer) => {
            Ok(answer)
        }
        Some(_) | None => Err(format!(
            "nobody knows what the clocks of {zone} will show after {TABLE_YEAR_LAST}"
        )),
    }
}

/// The weekday a year begins with, and whether it has a leap day.
fn calendar_of(year: i32) -> Option<(Weekday, bool)> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    Some((first.weekday(), first.leap_year()))
}

/// Whether a zone's clocks change in the last year of its table.
fn changes_clocks(zone: Tz) -> bool {
    let noons = (1..=12).filter_map(|month| {
        NaiveDate::from_ymd_opt(TABLE_YEAR_LAST, month, 1)?.and_hms_opt(12, 0, 0)
    });
    let mut offsets = noons.map(|noon| zone.offset_from_utc_datetime(&noon).fix());
    let first = offsets.next();
    offsets.any(|offset| Some(offset) != first)
}

/// What the clocks of a zone show at an instant.
pub(crate) fn instant_to_wall(instant: i64, zone: Tz) -> Result<i64, String> {
    if zone == Tz::UTC {
        return Ok(instant);
    }
    let utc = DateTime::from_timestamp_micros(instant)
        .ok_or_else(|| OUTSIDE_YEARS.to_owned())?
        .naive_utc();
    let offset = within_tables(utc, zone, |utc| zone.offset_from_utc_datetime(&utc).fix())?;
    let offset = i64::from(offset.local_minus_utc());
    let wall = instant + offset * MICROS_PER_SECOND;
    if (MICROS_MIN..=MICROS_MAX).contains(&wall) {
        Ok(wall)
    } else {
        Err(format!("{OUTSIDE_YEARS} in {zone}"))
    }
}

/// A date, `T` or a blank, a time, and what stands behind.
fn parse_wall(text: &str) -> Result<(i64, &str), String> {
    let (Some(date), Some(rest)) = (text.get(..10), text.get(10..)) else {
        return Err("not a timestamp: YYYY-MM-DD HH:MM:SS is expected".to_owned());
    };
    let days = parse_date(date)
        .map_err(|fault| fault.replace("a date: YYYY-MM-DD", "a timestamp: YYYY-MM-DD HH:MM:SS"))?;
    let Some(clock) = rest.strip_prefix(['T', ' ']) else {
        return Err(if rest.is_empty() {
            "has no time of day"
        } else {
            "not a timestamp"
        }
        .to_owned());
    };
    let (micros, rest) = parse_clock(clock)?;
    Ok((i64::from(days) * MICROS_PER_DAY + micros, rest))
}

/// Microseconds since midnight, and what stands behind.
fn parse_clock(text: &str) -> Result<(i64, &str), String> {
    let [h1, h2, b':', m1, m2, ..] = *text.as_bytes() else {
        return Err(not_time());
    };
    let (Some(hour), Some(minute)) = (two_digits(h1, h2), two_digits(m1, m2)) else {
        return Err(not_time());
    };
    let rest = text.get(5..).unwrap_or_default();
    let (second, micros, rest) = match rest.strip_prefix(':') {
        Some(seconds) => parse_seconds(seconds)?,
        None => (0, 0, rest),
    };
    match (hour, minute, second) {
        (0..24, 0..60, 0..60) => {
            let minutes = i64::from(hour) * 60 + i64::from(minute);
            Ok((
                minutes * MICROS_PER_MINUTE + i64::from(second) * MICROS_PER_SECOND + micros,
                rest,
            ))
        }
        (24.., _, _) => Err(format!("not a time: hour {hour}")),
        (_, 60.., _) => Err(format!("not a time: minute {minute}")),
        (_, _, _) => Err(format!("not a time: second {second}")),
    }
}

/// Seconds, microseconds, and what stands behind.
fn parse_seconds(text: &str) -> Result<(u32, i64, &str), String> {
    let [s1, s2, ..] = *text.as_bytes() else {
        return Err(not_time());
    };
    let second = two_digits(s1, s2).ok_or_else(not_time)?;
    let rest = text.get(2..).unwrap_or_default();
    let Some(fraction) = rest.strip_prefix('.') else {
        return Ok((second, 0, rest));
    };
    let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = fraction.split_at_checked(length).unwrap_or_default();
    if digits.is_empty() {
        return Err(not_time());
    }
    if digits.bytes().skip(6).any(|digit| digit != b'0') {
        return Err(FINER_THAN_MICROS.to_owned());
    }
    let micros = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    Ok((
        second,
        micros.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')),
        rest,
    ))
}

/// Microseconds east of UTC. Seconds, as in `+00:53:28`, are how PostgreSQL writes local times
/// before zones.
fn parse_offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = match *text.as_bytes() {
        [b'+', ref digits @ ..] => (1, digits),
        [b'-', ref digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes, seconds) = match *digits {
        [h1, h2] => (two_digits(h1, h2)?, 0, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two_digits(h1, h2)?, two_digits(m1, m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (
            two_digits(h1, h2)?,
            two_digits(m1, m2)?,
            two_digits(s1, s2)?,
        ),
        _ => return None,
    };
    let is_offset = hours < 24 && minutes < 60 && seconds < 60;
    let micros = i64::from(hours) * MICROS_PER_HOUR + i64::from(minutes) * MICROS_PER_MINUTE;
    is_offset.then_some(sign * (micros + i64::from(seconds) * MICROS_PER_SECOND))
}

fn begins_zone(text: &str) -> bool {
    text.starts_with(['Z', 'z', '+', '-'])
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

fn not_time() -> String {
    "not a time: HH:MM:SS is expected".to_owned()
}

fn write_wall(micros: i64, between: char, out: &mut String) {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX);
    write_date(days, out);
    out.push(between);
    write_clock(micros.rem_euclid(MICROS_PER_DAY), out);
}

fn write_clock(micros: i64, out: &mut String) {
    push_padded(micros / MICROS_PER_HOUR, 2, out);
    out.push(':');
    push_padded(micros / MICROS_PER_MINUTE % 60, 2, out);
    out.push(':');
    push_padded(micros / MICROS_PER_SECOND % 60, 2, out);
    let fraction = micros % MICROS_PER_SECOND;
    if fraction > 0 {
        out.push('.');
        push_padded(fraction, 6, out);
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Writes the last `width` digits of a number that is not negative.
fn push_padded(number: i64, width: u32, out: &mut String) {
    let digit = |place: u32| u8::try_from(number / 10_i64.pow(place) % 10).unwrap_or_default();
    out.extend(
        (0..width)
            .rev()
            .map(|place| char::from(b'0' + digit(place))),
    );
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written<T>(write: impl Fn(T, &mut String), value: T) -> String {
        let mut out = String::new();
        write(value, &mut out);
        out
    }

    #[test]
    fn dates_are_days_since_1970() {
        assert_eq!(parse_date("1970-01-01"), Ok(0));
        assert_eq!(parse_date("0001-01-01"), Ok(DAY_MIN));
        assert_eq!(parse_date("9999-12-31"), Ok(DAY_MAX));
        assert_eq!(parse_date("2024-02-29"), Ok(19_782));
        assert_eq!(
            parse_date("2026-13-01"),
            Err("not a date: month 13".to_owned())
        );
        assert_eq!(
            parse_date("2026-02-29"),
            Err("not a date: month 2 of that year has no day 29".to_owned())
        );
        assert_eq!(
            parse_date("0000-01-01"),
            Err("not a date: year 0".to_owned())
        );
        for text in [
            "2026-1-1",
            "26-01-01",
            "2026/01/01",
            " 2026-01-01",
            "2026-01-01 ",
            "+2026-01-01",
            "-026-01-01",
        ] {
            assert_eq!(
                parse_date(text),
                Err("not a date: YYYY-MM-DD is expected".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn times_are_whole_microseconds() {
        assert_eq!(parse_time("06:30"), Ok(23_400_000_000_000));
        assert_eq!(parse_time("23:59:59.999999"), Ok(86_399_999_999_000));
        assert_eq!(parse_time("00:00:00.100000000"), Ok(100_000_000));
        assert_eq!(
            parse_time("00:00:00.0000001"),
            Err(FINER_THAN_MICROS.to_owned())
        );
        assert_eq!(parse_time("24:00"), Err("not a time: hour 24".to_owned()));
        assert_eq!(parse_time("10:60"), Err("not a time: minute 60".to_owned()));
        assert_eq!(
            parse_time("10:00:60"),
            Err("not a time: second 60".to_owned())
        );
        assert_eq!(
            parse_time("10:00Z"),
            Err("has a time zone, and TIME has none".to_owned())
        );
        for text in [
            "1:00",
            "10",
            "10:0",
            "10:00:0",
            "10:00:00.",
            "10:00:00,5",
            "10:00 ",
            "é0:00",
            "10:00é",
        ] {
            assert_eq!(parse_time(text), Err(not_time()), "{text}");
        }
    }

    #[test]
    fn a_timestamp_has_no_zone_and_an_instant_has_one() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:01"), Ok(1_000_000));
        assert_eq!(parse_timestamp("1970-01-01 00:01"), Ok(60_000_000));
        assert_eq!(
            parse_timestamp("1970-01-01T00:00:01Z"),
            Err(HAS_ZONE.to_owned())
        );
        assert_eq!(
            parse_timestamp("1970-01-01"),
            Err("has no time of day".to_owned())
        );
        for text in [
            "1970-01-01T02:00:01+02",
            "1970-01-01 02:00:01+0200",
            "1970-01-01 02:00:01+02:00",
        ] {
            assert_eq!(parse_instant(text), Ok(1_000_000), "{text}");
        }
        assert_eq!(parse_instant("1969-12-31 19:30:00-04:30"), Ok(0));
        assert_eq!(
            parse_instant("1893-04-01 00:00:00+00:53:28"),
            parse_instant("1893-03-31 23:06:32Z")
        );
        assert_eq!(
            parse_instant("1970-01-01T00:00:01"),
            Err("has no time zone, such as Z or +02:00".to_owned())
        );
        let unknown = "its time zone is none of Z, +hh, +hhmm and +hh:mm";
        assert_eq!(
            parse_instant("1970-01-01T00:00:01+24"),
            Err(unknown.to_owned())
        );
        assert_eq!(
            parse_instant("0001-01-01T00:00:00+01"),
            Err(format!("{OUTSIDE_YEARS} in UTC"))
        );
    }

    #[test]
    fn a_wall_time_that_was_skipped_or_came_twice_is_no_instant() {
        let zone = Tz::America__New_York;
        let wall = |text: &str| parse_timestamp(text).unwrap();
        let instant = parse_instant("2026-07-01T04:00:00Z").unwrap();
        assert_eq!(
            wall_to_instant(wall("2026-07-01 00:00:00"), zone),
            Ok(instant)
        );
        assert_eq!(
            instant_to_wall(instant, zone),
            Ok(wall("2026-07-01 00:00:00"))
        );
        let skipped = "the clocks of America/New_York skipped this time";
        assert_eq!(
            wall_to_instant(wall("2026-03-08 02:30:00"), zone),
            Err(skipped.to_owned())
        );
        let twice = "the clocks of America/New_York showed this time twice";
        assert_eq!(
            wall_to_instant(wall("2026-11-01 01:30:00"), zone),
            Err(twice.to_owned())
        );
    }

    /// Computed by Python's zoneinfo, which goes by the rules where the tables end.
    #[test]
    fn clocks_go_on_changing_beyond_the_tables_of_their_zones() {
        for (zone, wall, instant) in [
            (
                Tz::Europe__Berlin,
                "2100-07-01 12:00:00",
                "2100-07-01T10:00:00Z",
            ),
            (
                Tz::Europe__Berlin,
                "2100-01-15 12:00:00",
                "2100-01-15T11:00:00Z",
            ),
            (
                Tz::America__New_York,
                "2150-07-01 00:00:00",
                "2150-07-01T04:00:00Z",
            ),
            (
                Tz::Pacific__Auckland,
                "2100-01-01 00:00:00",
                "2099-12-31T11:00:00Z",
            ),
            (
                Tz::Australia__Sydney,
                "9999-12-31 00:00:00",
                "9999-12-30T13:00:00Z",
            ),
            (
                Tz::America__Santiago,
                "2101-09-10 12:00:00",
                "2101-09-10T15:00:00Z",
            ),
            (
                Tz::Asia__Tokyo,
                "2200-06-01 09:00:00",
                "2200-06-01T00:00:00Z",
            ),
            (
                Tz::Africa__Casablanca,
                "2150-06-01 12:00:00",
                "2150-06-01T11:00:00Z",
            ),
            (
                Tz::Europe__Dublin,
                "2123-08-01 12:00:00",
                "2123-08-01T11:00:00Z",
            ),
        ] {
            let (micros, at) = (
                parse_timestamp(wall).unwrap(),
                parse_instant(instant).unwrap(),
            );
            assert_eq!(wall_to_instant(micros, zone), Ok(at), "{wall} in {zone}");
            assert_eq!(instant_to_wall(at, zone), Ok(micros), "{instant} in {zone}");
        }
        let berlin =
            |wall: &str| wall_to_instant(parse_timestamp(wall).unwrap(), Tz::Europe__Berlin);
        assert_eq!(
            berlin("2150-03-29 02:30:00"),
            Err("the clocks of Europe/Berlin skipped this time".to_owned())
        );
        assert_eq!(
            berlin("2150-10-25 02:30:00"),
            Err("the clocks of Europe/Berlin showed this time twice".to_owned())
        );
        // Ramadan takes an hour back in the years that the table knows, and nobody has computed it
        // for later ones.
        let gaza = |wall: &str| wall_to_instant(parse_timestamp(wall).unwrap(), Tz::Asia__Gaza);
        let days = (1..=28).flat_map(|day| {
            (3..=11).map(move |month| format!("2110-{month:02}-{day:02} 12:00:00"))
        });
        let unknown = days
            .filter_map(|wall| gaza(&wall).err())
            .collect::<Vec<_>>();
        assert_eq!(
            unknown.first().map(String::as_str),
            Some("nobody knows what the clocks of Asia/Gaza will show after 2099")
        );
    }

    proptest! {
        #[test]
        fn moments_survive_being_written_and_read(micros in MICROS_MIN..=MICROS_MAX) {
            prop_assert_eq!(parse_timestamp(&written(write_timestamp, micros)), Ok(micros));
            prop_assert_eq!(parse_instant(&written(write_instant, micros)), Ok(micros));
            let nanos = micros.rem_euclid(MICROS_PER_DAY) * NANOS_PER_MICRO;
            prop_assert_eq!(parse_time(&written(write_time, nanos)), Ok(nanos));
            let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap();
            prop_assert_eq!(parse_date(&written(write_date, days)), Ok(days));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", zone in proptest::sample::select(&chrono_tz::TZ_VARIANTS[..])) {
            let moments = [parse_timestamp(&text).ok(), parse_instant(&text).ok()];
            for micros in moments.into_iter().flatten() {
                prop_assert!(wall_to_instant(micros, zone).is_ok() || instant_to_wall(micros, zone).is_ok());
            }
            prop_assert!(parse_time(&text).is_err() || text.len() >= 5);
            prop_assert!(parse_date(&text).is_err() || text.len() == 10);
        }

        #[test]
        fn instants_come_back_from_the_wall_of_any_zone(micros in MICROS_MIN..=MICROS_MAX, zone in proptest::sample::select(&chrono_tz::TZ_VARIANTS[..])) {
            let Ok(wall) = instant_to_wall(micros, zone) else { return Ok(()) };
            if let Ok(instant) = wall_to_instant(wall, zone) {
                prop_assert_eq!(instant, micros);
            }
        }
    }
}
