//! Who answers the questions of `init`: a person at a terminal, or nobody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;

use dialoguer::console::Term;
use dialoguer::{Input, Select};

use super::{InitError, refused};

/// Who answers what no flag answers. What was answered is proposed when the same is asked again,
/// so that one mistake costs one answer.
#[derive(Debug)]
pub(super) struct Asker {
    who: Who,
    /// Answers by their questions.
    answers: RefCell<HashMap<String, String>>,
    /// Whether flags are proposals only: they were part of a mistake.
    pub(super) asks_again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Terminal,
    /// What is proposed is taken.
    Nobody,
}

impl Asker {
    pub(super) fn new(who: Who) -> Self {
        Self {
            who,
            answers: RefCell::default(),
            asks_again: false,
        }
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.who == Who::Nobody
    }

    /// Says something to whoever answers.
    pub(super) fn tell(&self, line: &str) -> Result<(), InitError> {
        match self.who {
            Who::Terminal => Ok(Term::stderr()
                .write_line(line)
                .map_err(dialoguer::Error::from)?),
            Who::Nobody => Ok(()),
        }
    }

    /// The flag if it is given, else the answer, else what is proposed; checked in every case.
    pub(super) fn text(
        &self,
        question: &str,
        flag: &Option<String>,
        usual: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, InitError> {
        let given = match (flag, self.who) {
            (Some(flag), _) if !self.asks_again => flag.clone(),
            (_, Who::Nobody) => usual.to_owned(),
            (flag, Who::Terminal) => {
                let earlier = self.answers.borrow().get(question).cloned();
                let known = earlier.or_else(|| flag.clone());
                let proposed = known.unwrap_or_else(|| usual.to_owned());
                let input = Input::new().with_prompt(question).default(proposed);
                let answer = input
                    .validate_with(|text: &String| check(text))
                    .interact_text()?;
                self.remember(question, &answer);
                return Ok(answer);
            }
        };
        match check(&given) {
            Ok(()) => Ok(given),
            // A url among the answers may hold a password, so the question stands for it.
            Err(why) => Err(refused(question, why)),
        }
    }

    /// The position of the choice; the first one is proposed.
    pub(super) fn choice<T: Display>(
        &self,
        question: &str,
        choices: &[T],
    ) -> Result<usize, InitError> {
        if self.is_nobody() {
            return Ok(0);
        }
        let earlier = self.answers.borrow().get(question).cloned();
        let usual = earlier.and_then(|answer| answer.parse().ok()).unwrap_or(0);
        let chosen = Select::new()
            .with_prompt(question)
            .items(choices)
            .default(usual)
            .interact()?;
        self.remember(question, &chosen.to_string());
        Ok(chosen)
    }

    fn remember(&self, question: &str, answer: &str) {
        let mut answers = self.answers.borrow_mut();
        answers.insert(question.to_owned(), answer.to_owned());
    }
}
