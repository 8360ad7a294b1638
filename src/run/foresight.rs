//! What previews of a job's steps tell those of later ones: which rows their records have, and which
//! ones a run would make.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::layout::Layout;

/// What is foreseen of the steps that were previewed.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    /// By the names of their write-backs.
    steps: BTreeMap<String, ForeseenStep>,
}

/// What is foreseen of a step's records, by their keys.
#[derive(Debug, Default)]
pub(crate) struct ForeseenStep {
    /// Path of the object whose rows it makes.
    object: Vec<String>,
    /// Ids of rows that are there.
    found: HashMap<String, String>,
    /// Records of which a row would be made, by themselves or another record.
    made: HashSet<String>,
}

impl ForeseenStep {
    pub(super) fn of(layout: &Layout) -> Self {
        Self {
            object: layout.object.path.clone(),
            ..Self::default()
        }
    }

    pub(super) fn finds(&mut self, rows: Vec<(String, String)>) {
        self.found.extend(rows);
    }

    pub(super) fn makes<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) {
        self.made.extend(keys.into_iter().map(str::to_owned));
    }

    /// The id of the row that a record has already.
    pub(super) fn id(&self, key: &str) -> Option<&String> {
        self.found.get(key)
    }

    /// Whether a record would have a row by the end of the step.
    pub(super) fn will_make(&self, key: &str) -> bool {
        self.made.contains(key)
    }
}

impl Foresight {
    pub(super) fn learn(&mut self, step: &str, foreseen: ForeseenStep) {
        self.steps.insert(step.to_owned(), foreseen);
    }

    /// Absent of a step that was not previewed.
    pub(super) fn of(&self, step: &str) -> Option<&ForeseenStep> {
        self.steps.get(step)
    }

    /// Whether a row of an object would be made of a record.
    pub(super) fn will_make(&self, object: &[String], key: &str) -> bool {
        let mut steps = self.steps.values();
        steps.any(|step| step.object == object && step.will_make(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_step_knows_what_an_earlier_one_finds_and_makes() {
        let mut step = ForeseenStep {
            object: vec!["Candidate".to_owned()],
            ..ForeseenStep::default()
        };
        step.finds(vec![("R1".to_owned(), "17".to_owned())]);
        step.makes(["R2"]);
        let mut foresight = Foresight::default();
        foresight.learn("referral.candidate", step);
        let known = foresight.of("referral.candidate");
        assert_eq!(known.and_then(|step| step.id("R1")), Some(&"17".to_owned()));
        assert!(foresight.of("referral.submission").is_none());
        for (object, key, made) in [
            ("Candidate", "R2", true),
            ("Candidate", "R1", false),
            ("Contact", "R2", false),
        ] {
            assert_eq!(foresight.will_make(&[object.to_owned()], key), made);
        }
    }
}
