//! Crontab lines: five fields as in crontab(5), read into the wall-clock minutes they name. Knows
//! no time zone. The `cron` crate walks the calendar. It is given explicit values only, since it
//! writes lines otherwise: seconds come first, Sunday is 1, and a day must satisfy the day of the
//! month and the weekday.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::CronMistake;

/// A crontab line of five fields: minute, hour, day of the month, month, weekday.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    text: String,
    schedule: cron::Schedule,
}

impl Cron {
    pub(crate) fn parse(text: &str) -> Result<Self, CronMistake> {
        let schedule = read(text).map_err(|Fault { what, hint }| CronMistake {
            message: format!("`{}` {what}", text.escape_debug()),
            hint,
        })?;
        Ok(Self {
            text: text.to_owned(),
            schedule,
        })
    }

    /// The wall times the line names that are not before `wall`, in order.
    pub(super) fn wall_times_from(
        &self,
        wall: NaiveDateTime,
    ) -> impl Iterator<Item = NaiveDateTime> {
        let before = wall.and_utc() - TimeDelta::seconds(1);
        let times = self
            .schedule
            .after(&before)
            .take_while(|time| *time < CALENDAR_END);
        times
            .map(|time| time.naive_utc())
            .skip_while(move |time| *time < wall)
    }

    /// The last wall time the line names before `wall`.
    pub(super) fn wall_time_before(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let end = wall.and_utc().min(CALENDAR_END);
        self.schedule
            .after(&end)
            .next_back()
            .map(|time| time.naive_utc())
    }
}

/// The end of 2099, the last year of which the zones' tables tell when clocks change. The crate
/// knows the years 1970 to 2100; asked for the last time before a later instant, it would look at
/// the beginning of 2100 only.
const CALENDAR_END: DateTime<Utc> = DateTime::from_timestamp(4_102_444_800, 0).expect("2100-01-01");

/// As the user wrote it.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with a line, to be read after the line itself.
struct Fault {
    what: String,
    hint: String,
}

fn fault(what: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault {
        what: what.into(),
        hint: hint.into(),
    }
}

/// One of the five fields, and the values it may name.
struct Field {
    name: &'static str,
    lowest: u32,
    /// Crontab numbers Sunday 0 and 7.
    highest: u32,
    /// Of the values from `lowest` on.
    value_names: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    lowest: 0,
    highest: 59,
    value_names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    lowest: 0,
    highest: 23,
    value_names: &[],
};
const DAY: Field = Field {
    name: "day of the month",
    lowest: 1,
    highest: 31,
    value_names: &[],
};
const MONTH: Field = Field {
    name: "month",
    lowest: 1,
    highest: 12,
    value_names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
const WEEKDAY: Field = Field {
    name: "weekday",
    lowest: 0,
    highest: 7,
    value_names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

const FIVE_FIELDS: &str =
    "write minute, hour, day of the month, month and weekday: `0 6 * * MON` is Monday at 06:00";

fn read(text: &str) -> Result<cron::Schedule, Fault> {
    let fields: Vec<&str> = text
        .split([' ', '\t'])
        .filter(|field| !field.is_empty())
        .collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(not_five(&fields));
    };
    let minutes = MINUTE.read(minute)?;
    let hours = HOUR.read(hour)?;
    let days = DAY.read(day)?;
    let months = MONTH.read(month)?;
    let weekdays = WEEKDAY.read(weekday)?;
    if day != "*" && weekday != "*" {
        return Err(fault(
            "names a day of the month and a weekday; tools read that differently",
            "keep one of them, or write two gates",
        ));
    }
    schedule(&[minutes, hours, days, months, weekdays])
}

fn not_five(fields: &[&str]) -> Fault {
    match fields {
        [] => fault("is empty", FIVE_FIELDS),
        [macro_name] if macro_name.starts_with('@') => spelled_out(macro_name),
        [_] => fault("has 1 field instead of five", FIVE_FIELDS),
        [_, _, _, _, _, _, ..] => fault(
            format!("has {} fields instead of five", fields.len()),
            "leave out seconds, years and time zones: `0 6 * * MON` is Monday at 06:00",
        ),
        _ => fault(
            format!("has {} fields instead of five", fields.len()),
            FIVE_FIELDS,
        ),
    }
}

fn spelled_out(macro_name: &str) -> Fault {
    let line = match macro_name.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * SUN",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 JAN *",
        _ => return fault("has 1 field instead of five", FIVE_FIELDS),
    };
    fault("does not show its five fields", format!("write `{line}`"))
}

/// Hands the values of the five fields to the crate that walks the calendar.
fn schedule(
    [minutes, hours, days, months, weekdays]: &[BTreeSet<u32>; 5],
) -> Result<cron::Schedule, Fault> {
    let from_sunday_as_1: BTreeSet<u32> = weekdays.iter().map(|weekday| weekday % 7 + 1).collect();
    let line = [minutes, hours, days, months, &from_sunday_as_1]
        .map(listed)
        .join(" ");
    let schedule =
        cron::Schedule::from_str(&format!("0 {line}")).expect("values in their ranges are read");
    if schedule.after(&DateTime::UNIX_EPOCH).next().is_none() {
        return Err(fault(
            "never comes: none of its months has such a day",
            "name a day that the month has",
        ));
    }
    Ok(schedule)
}

fn listed<'a>(values: impl IntoIterator<Item = &'a u32>) -> String {
    values
        .into_iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

impl Field {
    /// Reads a list of values, ranges and steps into the values it names, a field's highest value
    /// included.
    fn read(&self, list: &str) -> Result<BTreeSet<u32>, Fault> {
        let parts: Vec<Vec<u32>> = list
            .split(',')
            .map(|part| self.read_part(part))
            .collect::<Result<_, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    fn read_part(&self, part: &str) -> Result<Vec<u32>, Fault> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.read_step(step)?)),
            None => (part, None),
        };
        let every = step.unwrap_or(1);
        match (range.split_once('-'), step) {
            _ if range == "*" => Ok(stepped(self.lowest, self.highest, every)),
            (Some((first, last)), _) => self.read_range(first, last, every),
            (None, Some(step)) => {
                self.read_value(range)?;
                Err(fault(
                    format!(
                        "counts a step from a single {}, `{}`",
                        self.name,
                        part.escape_debug()
                    ),
                    format!("write `{range}-{}/{step}`", self.highest),
                ))
            }
            (None, None) => Ok(vec![self.read_value(range)?]),
        }
    }

    fn read_range(&self, first: &str, last: &str, step: u32) -> Result<Vec<u32>, Fault> {
        let (from, to) = (self.read_value(first)?, self.read_value(last)?);
        if from <= to {
            return Ok(stepped(from, to, step));
        }
        let value_count = self.value_count();
        let list: Vec<String> = stepped(from, to + value_count, step)
            .into_iter()
            .map(|value| {
                self.written_like(first, self.lowest + (value - self.lowest) % value_count)
            })
            .collect();
        let list = list.join(",");
        Err(fault(
            format!("has a range that runs backwards, `{first}-{last}`"),
            format!("write the list `{list}`"),
        ))
    }

    fn read_step(&self, text: &str) -> Result<u32, Fault> {
        number(text)
            .filter(|step| (1..=self.highest).contains(step))
            .ok_or_else(|| {
                fault(
                    format!(
                        "has `{}` as the step of its {}",
                        text.escape_debug(),
                        self.name
                    ),
                    format!("a step there is a number from 1 to {}", self.highest),
                )
            })
    }

    fn read_value(&self, text: &str) -> Result<u32, Fault> {
        let named = || {
            self.value_names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text))
        };
        number(text)
            .or_else(|| {
                u32::try_from(named()?)
                    .ok()
                    .map(|index| self.lowest + index)
            })
            .filter(|value| (self.lowest..=self.highest).contains(value))
            .ok_or_else(|| self.not_a_value(text))
    }

    fn not_a_value(&self, text: &str) -> Fault {
        let what = format!("has `{}` as its {}", text.escape_debug(), self.name);
        fault(
            what,
            foreign(text).map_or_else(|| self.values(), str::to_owned),
        )
    }

    /// How many different values there are: Sunday is one, though it has two numbers.
    fn value_count(&self) -> u32 {
        match self.value_names.len() {
            0 => self.highest - self.lowest + 1,
            names => u32::try_from(names).unwrap_or(u32::MAX),
        }
    }

    /// What a value of the field may be, for a hint.
    fn values(&self) -> String {
        let Self {
            name,
            lowest,
            highest,
            value_names,
        } = self;
        let numbers = format!("a number from {lowest} to {highest}");
        match (value_names.first(), value_names.last()) {
            (Some(first), Some(last)) => {
                format!("a {name} is {numbers} or a name from {first} to {last}")
            }
            _ => format!("the {name} is {numbers}"),
        }
    }

    /// Writes `value` by its name if `example` is one.
    fn written_like(&self, example: &str, value: u32) -> String {
        let name = usize::try_from(value - self.lowest)
            .ok()
            .and_then(|index| self.value_names.get(index));
        match name {
            Some(name) if number(example).is_none() => (*name).to_owned(),
            _ => value.to_string(),
        }
    }
}

fn stepped(from: u32, to: u32, step: u32) -> Vec<u32> {
    (from..=to).step_by(step as usize).collect()
}

/// Digits only: `+5` is none.
fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The hint for what other schedulers write in fields for days: `?`, `L` for the last, `W` for the
/// nearest working day, `#` for the nth weekday of a month.
fn foreign(text: &str) -> Option<&'static str> {
    let day = text.trim_end_matches(['L', 'W', 'l', 'w']);
    let is_day =
        |day: &str| day.is_empty() || number(day).is_some() || WEEKDAY.read_value(day).is_ok();
    match text {
        "?" => Some("write `*`"),
        _ if text.contains('#') || (day.len() < text.len() && is_day(day)) => {
            Some("crontab has no `L`, `W` or `#`; write such days as exact instants, `at = [...]`")
        }
        _ => None,
    }
}
