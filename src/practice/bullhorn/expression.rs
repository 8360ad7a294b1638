//! Conditions on records, as `where` and `search` come to.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::Value;

/// A condition. A property may lead over references: `candidate.id`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compared {
        property: String,
        comparison: Comparison,
    },
    /// Whatever there is.
    Anything,
    /// Nothing at all.
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparison {
    Is(Ordering, Operand),
    IsNot(Operand),
    AtMost(Operand),
    AtLeast(Operand),
    Among(Vec<Operand>),
    IsNull,
    /// With `%` for any signs.
    Like(String),
    /// One of these phrases: words, one after the other.
    HasPhrase(Phrases),
    /// From and to, both of them in it; `None` where there is no end.
    Within(Option<String>, Option<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Number(f64),
    Boolean(bool),
}

impl Condition {
    /// Whether it holds for a record, of which `value` tells what a property holds.
    pub(super) fn holds(&self, value: &dyn Fn(&str) -> Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(value)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(value)),
            Self::Not(condition) => !condition.holds(value),
            Self::Compared {
                property,
                comparison,
            } => comparison.holds(&value(property)),
            Self::Anything => true,
            Self::Nothing => false,
        }
    }

    /// Properties that it asks for.
    pub(super) fn properties(&self) -> Vec<&str> {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().flat_map(Self::properties).collect()
            }
            Self::Not(condition) => condition.properties(),
            Self::Compared { property, .. } => vec![property],
            Self::Anything | Self::Nothing => Vec::new(),
        }
    }
}

impl Comparison {
    fn holds(&self, value: &Value) -> bool {
        let is = |operand: &Operand| operand.compare(value) == Some(Ordering::Equal);
        let within = |operand: &Operand, wanted: Ordering| {
            let found = operand.compare(value);
            found == Some(wanted) || found == Some(Ordering::Equal)
        };
        match self {
            Self::Is(ordering, operand) => operand.compare(value) == Some(*ordering),
            Self::IsNot(operand) => !value.is_null() && !is(operand),
            Self::AtMost(operand) => within(operand, Ordering::Less),
            Self::AtLeast(operand) => within(operand, Ordering::Greater),
            Self::Among(operands) => operands.iter().any(is),
            Self::IsNull => value.is_null(),
            Self::Like(pattern) => text_of(value).is_some_and(|text| is_like(&text, pattern)),
            Self::HasPhrase(phrases) => match value.as_array() {
                Some(values) => values.iter().any(|value| phrases.are_in(value)),
                None => phrases.are_in(value),
            },
            Self::Within(from, to) => text_of(value).is_some_and(|text| {
                let after = |from: &String| numbers_or_texts(&text, from) != Ordering::Less;
                let before = |to: &String| numbers_or_texts(&text, to) != Ordering::Greater;
                from.as_ref().is_none_or(after) && to.as_ref().is_none_or(before)
            }),
        }
    }
}

impl Operand {
    /// How a value stands to it; `None` if they are of different kinds.
    fn compare(&self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Self::Text(text), Value::String(held)) => Some(held.as_str().cmp(text)),
            (Self::Text(text), Value::Number(held)) => {
                held.as_f64()?.partial_cmp(&text.parse::<f64>().ok()?)
            }
            (Self::Number(number), Value::Number(held)) => held.as_f64()?.partial_cmp(number),
            (Self::Number(number), Value::String(held)) => {
                held.parse::<f64>().ok()?.partial_cmp(number)
            }
            (Self::Boolean(boolean), Value::Bool(held)) => Some(held.cmp(boolean)),
            _ => None,
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match (value.as_str(), value.as_bool()) {
        _ if value.is_null() => None,
        (Some(text), _) => Some(text.to_owned()),
        (None, Some(boolean)) => Some(if boolean { "1" } else { "0" }.to_owned()),
        (None, None) => Some(value.to_string()),
    }
}

fn is_like(text: &str, pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('%').collect();
    let Some((first, rest)) = parts.split_first() else {
        return false;
    };
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    for (place, part) in rest.iter().enumerate() {
        if place + 1 == rest.len() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(start) => left = left.get(start + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.is_empty()
}

/// The words of a text, as the index takes them.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '*')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Phrases of which any may stand in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Phrases {
    whole: HashSet<Vec<String>>,
    /// Words of the longest of those.
    length_max: usize,
    /// Those with a `*` at the end of a word, which stands for any signs.
    patterns: Vec<Vec<String>>,
}

impl Phrases {
    /// Adds a phrase; one without words is in no text.
    pub(super) fn add(&mut self, text: &str) {
        let words = words(text);
        if words.iter().any(|word| word.ends_with('*')) {
            self.patterns.push(words);
        } else if !words.is_empty() {
            self.length_max = self.length_max.max(words.len());
            self.whole.insert(words);
        }
    }

    fn are_in(&self, value: &Value) -> bool {
        let Some(text) = text_of(value) else {
            return false;
        };
        let mut held = words(&text);
        if let Some(boolean) = value.as_bool() {
            held = vec![text, boolean.to_string()];
        }
        let is_whole = |length: usize| {
            let mut windows = held.windows(length);
            windows.any(|window| self.whole.contains(window))
        };
        let is = |(held, wanted): (&String, &String)| match wanted.strip_suffix('*') {
            Some(start) => held.starts_with(start),
            None => held == wanted,
        };
        let is_pattern = |wanted: &Vec<String>| {
            let mut windows = held.windows(wanted.len().max(1));
            windows.any(|window| window.iter().zip(wanted).all(is))
        };
        (1..=self.length_max).any(is_whole) || self.patterns.iter().any(is_pattern)
    }
}

fn numbers_or_texts(left: &str, right: &str) -> Ordering {
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        _ => left.cmp(right),
    }
}
