//! Meeting a write-back with its object: everything that can be known before the first record is
//! pulled.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{ChunkFullNull, NamedFrom, Scalar, Series, StringChunked};

use super::{Making, Mapping, Named, Route, RunFacts, Varying, Zones, about_column};
use crate::domain::change::Change;
use crate::domain::columnar::Converted;
use crate::domain::conform::parse_texts;
use crate::domain::connection::ServiceKind;
use crate::domain::conversion::{Fraction, Holder, Misfit, convert};
use crate::domain::field::{Field, FieldValue, NullPolicy, OnConflict, When};
use crate::domain::job::WriteBack;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::list::ListMode;
use crate::domain::method::Method;
use crate::domain::object::{
    Holds, NameError, Object, ObjectColumn, ObjectKind, Repertoire, RowLocks, resolve_name,
};
use crate::domain::problem::{Problem, Severity, did_you_mean, quoted_list};
use crate::domain::record::RECORD_KEY;
use crate::domain::reference::NotFound;
use crate::domain::referral::{Referral, Referrals, ValuesSeen};
use crate::domain::schema::{SchemaColumn, SchemaType};
use crate::domain::value::Kind;

/// Collects what is wrong while it works out the mapping.
pub(super) struct Planner<'a> {
    write_back: &'a WriteBack,
    object: &'a Object,
    /// What notes are about.
    about: Option<&'a Object>,
    referrals: &'a Referrals,
    zones: Zones,
    facts: &'a RunFacts,
    /// Positions in the write-back's fields of the match key.
    key: Vec<usize>,
    /// Positions of fields about which all is said.
    unmet: BTreeSet<usize>,
    problems: Vec<Problem>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        write_back: &'a WriteBack,
        object: &'a Object,
        about: Option<&'a Object>,
        referrals: &'a Referrals,
        zones: Zones,
        facts: &'a RunFacts,
    ) -> Self {
        Self {
            write_back,
            object,
            about,
            referrals,
            zones,
            facts,
            key: write_back.key_fields(),
            unmet: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// Says nothing more of these fields, nor of what follows from them.
    pub(super) fn beside(self, unmet: &BTreeSet<usize>) -> Self {
        let unmet = unmet.clone();
        Self { unmet, ..self }
    }

    pub(super) fn plan(mut self) -> Result<(Layout, Mapping, Vec<Problem>), Vec<Problem>> {
        self.check_object();
        let columns = self.resolve_columns();
        let mut fields = Vec::with_capacity(columns.len());
        let mut routes = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            if self.unmet.contains(&position) {
                continue;
            }
            if let (Some(field), Some(column)) = (self.write_back.fields.get(position), column) {
                let is_key = self.key.contains(&position);
                self.check_rights(field, column, is_key);
                self.check_list(field, column, is_key);
                let referral = self.referrals.by_field.get(&position);
                let mut route = self.route(field, column, referral);
                let labels = self.referrals.labels.get(&position);
                if let (Some(Route::Varying(varying)), Some(labels)) = (&mut route, labels) {
                    varying.labels.clone_from(labels);
                }
                fields.extend(layout_field(field, column, is_key));
                routes.extend(route.map(|route| route.of_key(is_key)));
            }
        }
        let about = self.about_routes();
        self.check_left_out(&columns);
        self.check_purpose();
        let layout = Layout {
            object: self.object.clone(),
            mode: self.write_back.mode,
            nulls: self.write_back.nulls,
            fields,
            key: self.key.clone(),
            only_where: self.referrals.only_where.clone(),
        };
        // Where a column is unknown, the layout has holes, and what follows from it is not to be
        // told.
        if self.unmet.is_empty() && columns.iter().all(Option::is_some) {
            self.check_index(&layout);
            self.check_doubles(&layout);
        }
        self.finish(layout, routes, about)
    }

    /// What the record of a note is found by.
    fn about_routes(&mut self) -> Vec<Varying> {
        let write_back = self.write_back;
        let Some(object) = self.about else {
            return Vec::new();
        };
        let notes = std::mem::replace(&mut self.object, object);
        let mut routes = Vec::new();
        for field in write_back.about_fields() {
            let column = self.resolve_column(field);
            let route = column.and_then(|column| self.route(field, column, None));
            match route {
                Some(Route::Varying(mut varying)) => {
                    varying.column.name = about_column(&varying.column.name);
                    varying.rejects_null = Some("it is empty, and a row is found by it");
                    routes.push(*varying);
                }
                Some(Route::Constant { .. } | Route::Later { .. }) => {
                    let message = format!(
                        "`{}` is the same for every record, and each has a row of its own",
                        field.column.text
                    );
                    let mistake = Problem::mistake(field.location.clone(), message);
                    self.problems
                        .push(mistake.hint("name a column of the schema"));
                }
                None => {}
            }
        }
        self.object = notes;
        routes
    }

    fn finish(
        mut self,
        layout: Layout,
        routes: Vec<Route>,
        about: Vec<Varying>,
    ) -> Result<(Layout, Mapping, Vec<Problem>), Vec<Problem>> {
        self.problems
            .sort_by(|left, right| left.location.cmp(&right.location));
        if self
            .problems
            .iter()
            .any(|problem| problem.severity == Severity::Mistake)
        {
            return Err(self.problems);
        }
        let schema = &self.write_back.schema;
        let mapping = Mapping {
            routes,
            zones: self.zones,
            source_key: schema
                .key_columns()
                .map(|column| (column.name.clone(), column.column_type.kind()))
                .collect(),
            key_columns: match (&self.write_back.creation, &self.write_back.way) {
                (Some(_), _) | (None, Some(_)) => vec![RECORD_KEY.to_owned()],
                (None, None) => layout
                    .key_fields()
                    .map(|field| field.column.name.clone())
                    .collect(),
            },
            about,
        };
        Ok((layout, mapping, self.problems))
    }

    fn check_object(&mut self) {
        let location = self.write_back.table_location.clone();
        let object = self.object.display_name();
        if let ObjectKind::View { updatable: false } = self.object.kind {
            let mistake = Problem::mistake(
                location.clone(),
                format!("`{object}` is a view that cannot be written"),
            );
            self.problems.push(mistake.hint("name the table behind it"));
        }
        let mode = self.write_back.mode;
        let updates = self
            .object
            .obstacle(Change::Update)
            .filter(|_| mode.updates());
        let inserts = self
            .object
            .obstacle(Change::Insert)
            .filter(|_| mode.inserts());
        for obstacle in updates
            .into_iter()
            .chain(inserts.filter(|inserts| updates != Some(*inserts)))
        {
            let mistake =
                Problem::mistake(location.clone(), format!("`{object}` {}", obstacle.why));
            self.problems.push(mistake.hint(obstacle.hint.clone()));
        }
        if self.write_back.mode.updates()
            && self.object.locks == (RowLocks::Whole { allowed: false })
        {
            let message = format!(
                "`{object}` is a view whose rows can only be locked all together, and the user may not lock them"
            );
            self.problems.push(
                Problem::mistake(location.clone(), message).hint_if(self.object.grant("UPDATE")),
            );
        }
        if !self.object.may_enter {
            let mistake = Problem::mistake(
                location.clone(),
                format!("the schema of `{object}` may not be used"),
            );
            self.problems
                .push(mistake.hint_if(self.object.grant_entry()));
        }
        if !self.object.may_select {
            let mistake = Problem::mistake(
                location,
                format!("`{object}` may not be read, and matching reads it"),
            );
            self.problems
                .push(mistake.hint_if(self.object.grant("SELECT")));
        }
    }

    /// The object's column of each field, where there is one and no field before it has it.
    fn resolve_columns(&mut self) -> Vec<Option<&'a ObjectColumn>> {
        let object = self.object;
        let mut first_fields: HashMap<&str, &Field> = HashMap::new();
        let mut columns = Vec::with_capacity(self.write_back.fields.len());
        for (position, field) in self.write_back.fields.iter().enumerate() {
            if self.unmet.contains(&position) {
                let names = || object.columns.iter().map(|column| column.name.as_str());
                let name = resolve_name(&field.column, names()).ok();
                let known = object.columns.iter();
                columns.push(name.and_then(|name| known.clone().find(|one| one.name == name)));
                continue;
            }
            let column = self.resolve_column(field).filter(|column| {
                let first = first_fields.get(column.name.as_str()).copied();
                if let Some(first) = first {
                    self.problems.push(doubled(field, first, column));
                }
                first_fields.entry(&column.name).or_insert(field);
                first.is_none()
            });
            columns.push(column);
        }
        columns
    }

    fn resolve_column(&mut self, field: &Field) -> Option<&'a ObjectColumn> {
        let object = self.object;
        let names = || object.columns.iter().map(|column| column.name.as_str());
        let (wanted, object_name) = (&field.column.text, object.display_name());
        match resolve_name(&field.column, names()) {
            Ok(name) => object.columns.iter().find(|column| column.name == name),
            Err(NameError::Unknown) => {
                let message = format!("column `{wanted}` is not in `{object_name}`");
                let hint = did_you_mean(wanted, names()).or_else(|| self.hidden_column(wanted));
                let mistake = Problem::mistake(field.location.clone(), message).hint_if(hint);
                self.problems.push(mistake);
                None
            }
            Err(NameError::Ambiguous { candidates }) => {
                let candidates: Vec<String> =
                    candidates.iter().map(|name| format!("`{name}`")).collect();
                let message = format!(
                    "column `{wanted}` of `{object_name}` could be {}",
                    candidates.join(" or ")
                );
                let mistake = Problem::mistake(field.location.clone(), message);
                self.problems.push(
                    mistake.hint("write the name in upper and lower case as the database has it"),
                );
                None
            }
        }
    }

    /// What to do about a column that may be there and not be shown.
    fn hidden_column(&self, wanted: &str) -> Option<String> {
        let object = self.object;
        let grant = object.grant(&format!("SELECT ({})", object.spelling.quoted(wanted)));
        let hint = |grant| {
            format!("check the name; if it is right, the user may not see the column: {grant}")
        };
        grant.filter(|_| object.hides_columns).map(hint)
    }

    fn check_rights(&mut self, field: &Field, column: &ObjectColumn, is_key: bool) {
        if self.object.kind == (ObjectKind::View { updatable: false }) {
            // It was told of as a whole, and no right would help.
            return;
        }
        let mode = self.write_back.mode;
        let object = self.object.display_name();
        let mut mistake = |message: String, hint: Option<String>| {
            self.problems
                .push(Problem::mistake(field.location.clone(), message).hint_if(hint));
        };
        let name = &column.name;
        if column.generated && (!is_key || mode.inserts()) {
            let (by, hint) = match self.object.kind.is_of_service() {
                true => ("system", "leave it out"),
                false => (
                    "database",
                    "map to the columns it is computed from, or leave it out",
                ),
            };
            mistake(
                format!("`{name}` is computed by the {by} and cannot be written"),
                Some(hint.to_owned()),
            );
            return;
        }
        let described = self.object;
        let grant = |right: &str| {
            described.grant(&format!("{right} ({})", described.spelling.quoted(name)))
        };
        if described.may_select && !column.may_select {
            mistake(
                format!("`{name}` of `{object}` may not be read, and comparing reads it"),
                grant("SELECT"),
            );
        }
        if mode.updates() && !is_key && !column.may_update {
            mistake(
                format!("`{name}` of `{object}` may not be updated"),
                grant("UPDATE"),
            );
        }
        if mode.inserts() && !column.may_insert {
            mistake(
                format!("`{name}` of `{object}` may not be inserted"),
                grant("INSERT"),
            );
        }
    }

    fn route(
        &mut self,
        field: &Field,
        column: &'a ObjectColumn,
        referral: Option<&Referral>,
    ) -> Option<Route> {
        if column.holds == Holds::Unsupported {
            let ObjectColumn { name, declared, .. } = column;
            let message = format!("`{name}` is {declared}, a type that write-backs do not write");
            let parts: Vec<&str> = self.object.parts_of(name).collect();
            let hint = match parts.is_empty() {
                true => "leave the column out".to_owned(),
                false => format!("write its parts: {}", quoted_list(parts)),
            };
            self.problems
                .push(Problem::mistake(field.location.clone(), message).hint(hint));
            return None;
        }
        if referral.is_some() && field.value.columns().is_empty() {
            let message = format!(
                "`{}` looks up what is the same for all records",
                field.column.text
            );
            let hint = "look up a column, or write the id itself: `{ string = \"…\" }`";
            self.problems
                .push(Problem::mistake(field.location.clone(), message).hint(hint));
            return None;
        }
        match &field.value {
            FieldValue::Column(_) => self.varying(field, column, Making::Column, referral),
            FieldValue::Method(call) if call.method.takes_column() => {
                self.varying(field, column, Making::Method(call.clone()), referral)
            }
            FieldValue::Method(call) => self.stamp(field, column, call.method),
            FieldValue::String(text) => self.literal(field, column, text),
            FieldValue::Text { template, .. } => {
                self.varying(field, column, Making::Text(template.clone()), referral)
            }
            FieldValue::Answer { unanswered, .. } => {
                self.varying(field, column, Making::Answer(unanswered.clone()), referral)
            }
            FieldValue::Marker(marker) => {
                self.varying(field, column, Making::Marker(marker.clone()), referral)
            }
            FieldValue::IdOf(step) => self.later(field, column, Named::OfStep(step.clone())),
            FieldValue::About => self.later(field, column, Named::About),
        }
    }

    fn varying(
        &mut self,
        field: &Field,
        column: &ObjectColumn,
        making: Making,
        referral: Option<&Referral>,
    ) -> Option<Route> {
        // What a reference is looked up in is what its values are made to fit.
        let fits = referral.map_or(column, |referral| &referral.value.column);
        let fits = &fit_for_removal(field, fits);
        let write_back = self.write_back;
        let sources = field.value.columns().iter();
        let sources = sources.map(|position| write_back.columns().nth(*position));
        let Some(sources) = sources.collect::<Option<Vec<&SchemaColumn>>>() else {
            let message = format!(
                "field `{}` names a column that its schema does not have",
                field.column.text
            );
            self.problems
                .push(Problem::mistake(field.location.clone(), message));
            return None;
        };
        let from = match type_made(&making, &sources) {
            Ok(from) => from,
            Err(reason) => {
                let types = sources
                    .iter()
                    .map(|source| format!("`{}` is {}", source.name, source.column_type));
                let message = format!("{reason}, and {}", types.collect::<Vec<_>>().join(", "));
                self.problems
                    .push(Problem::mistake(field.location.clone(), message));
                return None;
            }
        };
        let (from, separator) = separated(field, from);
        let varying = Varying {
            separator,
            labels: ValuesSeen::new(),
            sources: sources
                .iter()
                .map(|source| (source.name.clone(), source.column_type))
                .collect(),
            making,
            from,
            column: column.clone(),
            fits: fits.clone(),
            rejects_null: self
                .rejects_null(field, column)
                .then_some("NULL in a NOT NULL column"),
            rejects_blanks: false,
        };
        if let Err(misfit) = varying.convert_nothing(self.zones) {
            let what = what_is_made(&varying.making, &sources);
            let declared = match (&varying.making, sources.as_slice()) {
                (Making::Column, [source]) => Some(*source),
                _ => None,
            };
            self.problems
                .push(self.misfit(field, fits, &what, from, declared, misfit));
            return None;
        }
        if let Some(referral) = referral {
            self.check_referral(field, referral);
        }
        self.check_labels(field, fits, &varying.making);
        if let ([source], Making::Column | Making::Method(_)) =
            (sources.as_slice(), &varying.making)
        {
            self.warn_of_lost_zone(field, fits, source, from);
            self.warn_of_nulls(field, column, source);
        }
        self.warn_of_never_empty(field, column);
        Some(Route::Varying(Box::new(varying)))
    }

    fn check_list(&mut self, field: &Field, column: &ObjectColumn, is_key: bool) {
        let ObjectColumn { name, declared, .. } = column;
        let message = match (&field.list, column.is_set) {
            (None, _) => return,
            (Some(_), true) if is_key => format!("`{name}` is of the match key, and no `list`"),
            (Some(_), true) => return,
            (Some(_), false) => {
                format!("`list` is of fields of several members, and `{name}` is {declared}")
            }
        };
        let hint = "leave `list` out: what is written takes the place of what is there";
        self.problems
            .push(Problem::mistake(field.location.clone(), message).hint(hint));
    }

    /// What is written is the id of the row that is found, or nothing.
    fn check_referral(&mut self, field: &Field, referral: &Referral) {
        let ObjectColumn {
            name,
            declared,
            nullable,
            ..
        } = &referral.column;
        if let Some(misfit) = referral.misfit(self.zones) {
            let id = &referral.id.column;
            let message = format!(
                "`{}` of `{}` ({}) does not fit `{name}` ({declared}): {misfit}",
                id.name,
                referral.object.display_name(),
                id.declared
            );
            self.problems
                .push(Problem::mistake(field.location.clone(), message));
        }
        let empties = referral.not_found == NotFound::Null;
        if empties && !nullable {
            let message =
                format!("`{name}` is NOT NULL, so `not_found = \"null\"` cannot empty it");
            let hint = "write `not_found = \"keep\"`, or leave it out to have the record rejected";
            self.problems
                .push(Problem::mistake(field.location.clone(), message).hint(hint));
        }
        if empties && self.write_back.nulls == NullPolicy::Keep {
            let message =
                format!("`not_found = \"null\"` of `{name}` has no effect with `nulls = \"keep\"`");
            let hint = "write `not_found = \"keep\"`: that is what is done";
            self.problems
                .push(Problem::warning(field.location.clone(), message).hint(hint));
        }
    }

    /// A field that names a row; what it holds is known once the row is.
    fn later(&mut self, field: &Field, column: &ObjectColumn, names: Named) -> Option<Route> {
        let nothing = StringChunked::full_null(column.name.as_str().into(), 0);
        if let Err(misfit) = id_values(column, &nothing, self.zones) {
            let from = literal_type(column);
            let problem = self.misfit(field, column, "an id", from, None, misfit);
            self.problems.push(problem);
            return None;
        }
        Some(Route::Later {
            column: column.clone(),
            names,
        })
    }

    /// The labels are known by now, and so is whether they fit.
    fn check_labels(&mut self, field: &Field, column: &ObjectColumn, making: &Making) {
        let Making::Method(call) = making else {
            return;
        };
        for label in call.setting.labels() {
            let text = Series::new(column.name.as_str().into(), [label.label.as_str()]);
            let converted = convert(
                &text,
                SchemaType::Text {
                    characters_max: None,
                },
                self.holder(column, Fraction::Exact),
            );
            let fault = converted
                .ok()
                .and_then(|converted| converted.faults.into_iter().next());
            if let Some(fault) = fault {
                let message = format!(
                    "label `{}` does not fit `{}`: {}",
                    label.label, column.name, fault.reason
                );
                self.problems
                    .push(Problem::mistake(field.location.clone(), message));
            }
        }
    }

    fn stamp(&mut self, field: &Field, column: &ObjectColumn, method: Method) -> Option<Route> {
        let what = format!("method `{}`", method.name());
        let (Ok(from), Some(values)) = (method.result_type(&[]), method.stamp(self.facts)) else {
            let message = format!("{what} works on a column and names none");
            self.problems.push(
                Problem::mistake(field.location.clone(), message).hint("add `column = \"…\"`"),
            );
            return None;
        };
        match convert(&values, from, self.holder(column, Fraction::Cut)) {
            Ok(converted) => self.constant(field, column, &what, converted),
            Err(misfit) => {
                self.problems
                    .push(self.misfit(field, column, &what, from, None, misfit));
                None
            }
        }
    }

    /// A string is read as the column's own type, as a cell of a source would be.
    fn literal(&mut self, field: &Field, column: &ObjectColumn, text: &str) -> Option<Route> {
        let from = literal_type(column);
        let converted = read_literal(column, text, self.holder(column, Fraction::Exact));
        match converted {
            Ok(converted) => self.constant(field, column, "the string", converted),
            Err(misfit) => {
                self.problems
                    .push(self.misfit(field, column, "the string", from, None, misfit));
                None
            }
        }
    }

    fn constant(
        &mut self,
        field: &Field,
        column: &ObjectColumn,
        what: &str,
        converted: Converted,
    ) -> Option<Route> {
        if let Some(fault) = converted.faults.first() {
            let message = format!(
                "{what} does not fit `{}` ({}): {}",
                column.name, column.declared, fault.reason
            );
            self.problems
                .push(Problem::mistake(field.location.clone(), message).hint_if(list_of(column)));
            return None;
        }
        self.warn_of_never_empty(field, column);
        let value = converted.values.get(0).ok()?.into_static();
        let value = Scalar::new(converted.values.dtype().clone(), value);
        Some(Route::Constant {
            column: column.name.clone(),
            value,
        })
    }

    fn holder<'column>(
        &self,
        column: &'column ObjectColumn,
        fraction: Fraction,
    ) -> Holder<'column> {
        Holder {
            holds: &column.holds,
            declared: &column.declared,
            zones: self.zones,
            fraction,
        }
    }

    /// Says that `what`, of type `from`, never fits; `declared` is the schema column that could be
    /// declared otherwise.
    fn misfit(
        &self,
        field: &Field,
        column: &ObjectColumn,
        what: &str,
        from: SchemaType,
        declared: Option<&SchemaColumn>,
        misfit: Misfit,
    ) -> Problem {
        let mistake = |message: String| Problem::mistake(field.location.clone(), message);
        let ObjectColumn {
            name,
            declared: column_type,
            ..
        } = column;
        let file = &self.write_back.schema.file;
        match misfit {
            Misfit::Type { instead, .. } => {
                let declare = |(column, instead): (&SchemaColumn, &str)| {
                    format!("declare `{}` as {instead} in {file}", column.name)
                };
                let hint = declared.zip(instead).map(declare);
                mistake(format!(
                    "{what} is {from}, which does not fit `{name}` ({column_type})"
                ))
                .hint_if(hint)
            }
            Misfit::ZoneUnknown => {
                let message =
                    format!("{what} has no time zone, and `{name}` ({column_type}) holds instants");
                let source = &self.write_back.source;
                mistake(message).hint(format!(
                    "say where its clock hangs: `timezone = \"…\"` in `[connections.{source}]`"
                ))
            }
            Misfit::TooNarrow(reason) | Misfit::Unreadable(reason) => {
                mistake(format!("{what} does not fit `{name}`: {reason}"))
            }
        }
    }

    fn rejects_null(&self, field: &Field, column: &ObjectColumn) -> bool {
        let keeps = self.write_back.nulls == NullPolicy::Keep || keeps_null(field);
        let is_never_written = keeps && !self.write_back.mode.inserts();
        !column.nullable && !is_never_written
    }

    /// An instant in a column without a zone is what a clock shows somewhere: here, where nobody
    /// said, in Greenwich.
    fn warn_of_lost_zone(
        &mut self,
        field: &Field,
        column: &ObjectColumn,
        source: &SchemaColumn,
        from: SchemaType,
    ) {
        let is_wall = column.holds.kind() == Some(Kind::Timestamp);
        if from.kind() != Kind::Instant || !is_wall || self.zones.destination.is_some() {
            return;
        }
        let message = format!(
            "`{}` has a time zone and `{}` ({}) has none: written as a clock in UTC shows it",
            source.name, column.name, column.declared
        );
        let hint = format!(
            "name the zone of its clock: `timezone = \"UTC\"`, or another, in `[connections.{}]`",
            self.write_back.destination
        );
        self.problems
            .push(Problem::warning(field.location.clone(), message).hint(hint));
    }

    fn warn_of_nulls(&mut self, field: &Field, column: &ObjectColumn, source: &SchemaColumn) {
        if source.nullable && self.rejects_null(field, column) {
            let message = format!(
                "`{}` may be NULL and `{}` is NOT NULL: records without a value will be rejected",
                source.name, column.name
            );
            let hint = match self.write_back.mode.inserts() {
                true => format!("declare it NOT NULL in {}", self.write_back.schema.file),
                false => "set `nulls = \"keep\"` to keep what the destination has".to_owned(),
            };
            self.problems
                .push(Problem::warning(field.location.clone(), message).hint(hint));
        }
    }

    fn warn_of_never_empty(&mut self, field: &Field, column: &ObjectColumn) {
        let can_be_empty = column.nullable || column.holds.kind() == Some(Kind::Text);
        if field.when == When::IfEmpty && !can_be_empty && self.write_back.mode.updates() {
            let message = format!(
                "`{}` is NOT NULL and never empty, so `if_empty` never updates it",
                column.name
            );
            self.problems
                .push(Problem::warning(field.location.clone(), message));
        }
    }

    /// Columns that an insert must fill and no field does.
    fn check_left_out(&mut self, columns: &[Option<&ObjectColumn>]) {
        let mode = self.write_back.mode;
        if !mode.inserts() {
            return;
        }
        let is_filled = |column: &ObjectColumn| {
            columns
                .iter()
                .flatten()
                .any(|filled| filled.name == column.name)
        };
        let must_be_filled =
            |column: &&ObjectColumn| !column.nullable && !column.has_default && !column.generated;
        for column in self
            .object
            .columns
            .iter()
            .filter(must_be_filled)
            .filter(|column| !is_filled(column))
        {
            let message = format!(
                "`{}` of `{}` is NOT NULL without a default, and `{}` creates rows without it",
                column.name,
                self.object.display_name(),
                mode.name()
            );
            let mistake = Problem::mistake(self.write_back.table_location.clone(), message);
            self.problems
                .push(mistake.hint("give it a field, or a default in the database"));
        }
    }

    /// A write-back that would never write is a mistake.
    fn check_purpose(&mut self) {
        if self.write_back.mode.inserts() {
            return;
        }
        let is_key = |position: usize| self.key.contains(&position);
        let written = self
            .write_back
            .fields
            .iter()
            .enumerate()
            .filter(|(position, _)| !is_key(*position));
        let written: Vec<&Field> = written.map(|(_, field)| field).collect();
        let name = &self.write_back.name;
        let message = match written.as_slice() {
            [] => format!("`{name}` has no field beside its key, so there is nothing to update"),
            fields if fields.iter().all(|field| is_stamp(field)) => {
                format!(
                    "`{name}` writes nothing but stamps, and a stamp alone never causes a write"
                )
            }
            _ => return,
        };
        let mistake = Problem::mistake(self.write_back.location.clone(), message);
        self.problems
            .push(mistake.hint("give a column of the schema a field"));
    }

    /// A row that two create at once is there twice where nothing forbids it: neither sees the
    /// other's before both are in. What is there twice is never guessed between. What stands
    /// behind a view is not known here, and rows of steps and notes are looked for before they
    /// are made, by all that would tell them.
    fn check_doubles(&mut self, layout: &Layout) {
        let is_view = matches!(self.object.kind, ObjectKind::View { .. });
        let is_guarded = self.write_back.creation.is_some();
        if layout.key_is_unique() || is_view || is_guarded {
            return;
        }
        let names: Vec<&str> = layout
            .key_fields()
            .map(|field| field.column.name.as_str())
            .collect();
        let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let follows = match layout.mode.inserts() {
            true => "a row that somebody else creates at the same moment is there twice",
            false => "where a key is there twice, its record is rejected",
        };
        if let Some(hint) = self.object.uniqueness() {
            let message = format!(
                "{} of `{}` may stand on several records: {follows}",
                shown.join(" and "),
                self.object.display_name()
            );
            self.problems
                .push(Problem::warning(self.write_back.table_location.clone(), message).hint(hint));
            return;
        }
        let message = format!(
            "no unique index of `{}` is over {}: {follows}",
            self.object.display_name(),
            shown.join(" and ")
        );
        let warning = Problem::warning(self.write_back.table_location.clone(), message);
        self.problems
            .push(warning.hint(self.object.create_unique_index(&names)));
    }

    /// A web API finds records by what it can filter by, and by nothing else. One that goes by a
    /// single part of a key compares the others itself.
    fn check_filters(&mut self, layout: &Layout) {
        let creation = self.write_back.creation.as_ref();
        let groups = match creation {
            Some(creation) => creation.exists_by.clone(),
            None => vec![layout.key.clone()],
        };
        let is_found = |field: &LayoutField| {
            let alone = [field.column.name.clone()];
            self.object.indexes.iter().any(|index| *index == alone)
        };
        let goes_by_one = self.object.kind.service() == Some(ServiceKind::HubSpot);
        let mut unfound: Vec<&str> = Vec::new();
        for group in groups {
            let fields = || group.iter().filter_map(|field| layout.fields.get(*field));
            if goes_by_one && fields().any(is_found) {
                continue;
            }
            let strays = fields().filter(|field| !is_found(field));
            unfound.extend(strays.map(|field| field.column.name.as_str()));
        }
        unfound.sort_unstable();
        unfound.dedup();
        for name in unfound {
            let message = format!(
                "`{name}` of `{}` cannot be filtered by, so that no record is found by it",
                self.object.display_name()
            );
            let mistake = Problem::mistake(self.write_back.table_location.clone(), message);
            self.problems
                .push(mistake.hint("match by another field, such as an external id"));
        }
    }

    fn check_index(&mut self, layout: &Layout) {
        if self.object.kind.is_of_service() {
            return self.check_filters(layout);
        }
        if layout.key_is_indexed() || matches!(self.object.kind, ObjectKind::View { .. }) {
            return;
        }
        let names: Vec<&str> = layout
            .key_fields()
            .map(|field| field.column.name.as_str())
            .collect();
        let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let message = format!(
            "no index of `{}` begins with {}: every batch will read the whole table",
            self.object.display_name(),
            shown.join(" or ")
        );
        let warning = Problem::warning(self.write_back.table_location.clone(), message);
        // One that is unique finds rows as well, and keeps a key from being there twice.
        let create = match layout.key_is_unique() || self.object.kind != ObjectKind::Table {
            true => self.object.create_index(&names),
            false => self.object.create_unique_index(&names),
        };
        self.problems.push(warning.hint(create));
    }
}

/// What members are made to fit: of those that are taken out of a row nobody says what they may be,
/// for a row may hold what is no longer offered.
fn fit_for_removal(field: &Field, column: &ObjectColumn) -> ObjectColumn {
    let removes = matches!(&field.list, Some(list) if list.mode == ListMode::Remove);
    let mut fitting = column.clone();
    if removes && matches!(fitting.holds, Holds::Labels(_)) {
        fitting.holds = Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        };
    }
    fitting
}

/// The type of what is written, and what stands between the members that a text names, if it is a
/// list.
fn separated(field: &Field, from: SchemaType) -> (SchemaType, Option<String>) {
    match (&field.list, from.kind()) {
        (Some(list), Kind::Text | Kind::Json) => {
            let text = SchemaType::Text {
                characters_max: None,
            };
            (text, Some(list.separator.clone()))
        }
        (Some(_) | None, _) => (from, None),
    }
}

fn layout_field(field: &Field, column: &ObjectColumn, is_key: bool) -> Option<LayoutField> {
    let kind = column.holds.kind()?;
    let (column, stamp) = (column.clone(), is_stamp(field));
    let keeps_foreign = field.on_conflict == OnConflict::Keep && !is_key && !stamp;
    Some(LayoutField {
        column,
        kind,
        when: field.when,
        stamp,
        key: is_key,
        own_text: false,
        keeps_foreign,
        yields: field.real_time,
        clears_first: field.clears_first,
        keeps_null: keeps_null(field),
        list: field
            .list
            .as_ref()
            .map_or(ListMode::Replace, |list| list.mode),
    })
}

/// Values of a column's list that are shown, at most.
const LISTED_MAX: usize = 30;

/// The list that a column takes its values from, if it has one.
fn list_of(column: &ObjectColumn) -> Option<String> {
    let (Holds::Label(words) | Holds::Labels(words)) = &column.holds else {
        return None;
    };
    let shown = quoted_list(words.iter().take(LISTED_MAX).map(String::as_str));
    let more = match words.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("the list has {shown}{more}"))
}

/// Whether nothing to write leaves a row what it has: of a reference that leads to no row, nothing
/// is known.
fn keeps_null(field: &Field) -> bool {
    let not_found = field
        .reference
        .as_ref()
        .map(|reference| reference.not_found);
    not_found == Some(NotFound::Keep)
}

fn doubled(field: &Field, first: &Field, column: &ObjectColumn) -> Problem {
    let at_once = match field.real_time && first.real_time {
        true => ", both with `realtime = true`",
        false => "",
    };
    let message = format!("column `{}` is written by two fields{at_once}", column.name);
    let hint = format!(
        "the other one stands at {}; keep one of them",
        first.location
    );
    Problem::mistake(field.location.clone(), message).hint(hint)
}

fn is_stamp(field: &Field) -> bool {
    matches!(&field.value, FieldValue::Method(call) if !call.method.takes_column())
}

/// The type of what is made of columns.
/// Errors: which types would do, if not these.
fn type_made(making: &Making, sources: &[&SchemaColumn]) -> Result<SchemaType, String> {
    let types: Vec<SchemaType> = sources.iter().map(|source| source.column_type).collect();
    match (making, types.as_slice()) {
        (Making::Column, [only]) => Ok(*only),
        (Making::Column, _) => Err("a value is one column's".to_owned()),
        (Making::Method(call), types) => call.method.result_type(types),
        (Making::Text(_) | Making::Marker(_) | Making::Answer(_), _) => Ok(SchemaType::Text {
            characters_max: None,
        }),
    }
}

/// What is made of columns, as messages tell it.
fn what_is_made(making: &Making, sources: &[&SchemaColumn]) -> String {
    let names: Vec<String> = sources
        .iter()
        .map(|source| format!("`{}`", source.name))
        .collect();
    match making {
        Making::Column | Making::Answer(_) => names.join(", "),
        Making::Method(call) => format!("`{}` of {}", call.method.name(), names.join(", ")),
        Making::Text(_) => "the text".to_owned(),
        Making::Marker(_) => "the marker".to_owned(),
    }
}

/// Ids of rows as a column holds them.
pub(super) fn id_values(
    column: &ObjectColumn,
    ids: &StringChunked,
    zones: Zones,
) -> Result<Converted, Misfit> {
    let from = literal_type(column);
    let read = parse_texts(ids, from)?;
    let holder = Holder {
        holds: &column.holds,
        declared: &column.declared,
        zones,
        fraction: Fraction::Exact,
    };
    let mut converted = convert(&read.values, from, holder)?;
    converted.faults.extend(read.faults);
    Ok(converted)
}

/// Reads a text of a job file as a column's own type.
fn read_literal(
    column: &ObjectColumn,
    text: &str,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    let from = literal_type(column);
    let text = Series::new(column.name.as_str().into(), [text]);
    let read = parse_texts(text.str()?, from)?;
    match read.faults.is_empty() {
        true => convert(&read.values, from, holder),
        false => Ok(read),
    }
}

/// A text of a job file as a value of a column.
/// Errors: why it is none.
pub(crate) fn literal_value(
    column: &ObjectColumn,
    text: &str,
    zones: Zones,
) -> Result<Scalar, String> {
    let holder = Holder {
        holds: &column.holds,
        declared: &column.declared,
        zones,
        fraction: Fraction::Exact,
    };
    let converted = read_literal(column, text, holder).map_err(|misfit| misfit.to_string())?;
    if let Some(fault) = converted.faults.first() {
        return Err(fault.reason.clone());
    }
    let value = converted.values.get(0).map_err(|error| error.to_string())?;
    Ok(Scalar::new(
        converted.values.dtype().clone(),
        value.into_static(),
    ))
}

/// As what a string in a job file is read for a column.
fn literal_type(column: &ObjectColumn) -> SchemaType {
    match column.holds.kind() {
        None | Some(Kind::Text) => SchemaType::Text {
            characters_max: None,
        },
        Some(Kind::Integer) => SchemaType::Integer { bits: 64 },
        Some(Kind::Decimal) => SchemaType::Decimal { size: None },
        Some(Kind::Float32) => SchemaType::Float { bits: 32 },
        Some(Kind::Float64) => SchemaType::Float { bits: 64 },
        Some(Kind::Boolean) => SchemaType::Boolean,
        Some(Kind::Date) => SchemaType::Date,
        Some(Kind::Time) => SchemaType::Time,
        Some(Kind::Timestamp) => SchemaType::Timestamp,
        Some(Kind::Instant) => SchemaType::TimestampWithZone,
        Some(Kind::Uuid) => SchemaType::Uuid,
        Some(Kind::Json) => SchemaType::Json,
    }
}
