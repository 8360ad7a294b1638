use chrono::TimeZone;
use chrono::Utc;
use polars::prelude::{AnyValue, NamedFrom, df};

use super::*;
use crate::domain::conversion::texts_of;
use crate::domain::cycle::Cycle;
use crate::domain::field::{Field, FieldValue, NullPolicy, When};
use crate::domain::match_rule::MatchMode;
use crate::domain::method::{Label, Method, Setting};
use crate::domain::object::{
    Holds, NamePart, ObjectKind, ObjectName, Repertoire, RowLocks, Spelling, TextLimit,
};
use crate::domain::outcome::Stage;
use crate::domain::problem::{Location, Severity};
use crate::domain::schema::{DecimalSize, Schema, SchemaColumn};

const TEXT: SchemaType = SchemaType::Text {
    characters_max: None,
};
const DECIMAL_5_2: SchemaType = SchemaType::Decimal {
    size: Some(DecimalSize {
        precision: 5,
        scale: 2,
    }),
};
const UTF8: Repertoire = Repertoire::Unicode { nul: true };

fn at(line: usize) -> Location {
    Location {
        file: "schedules/weekly.toml".into(),
        line,
        column: 1,
    }
}

/// Lines count from 10 in the order given.
fn write_back(columns: &[(&str, SchemaType, bool)], fields: Vec<(&str, FieldValue)>) -> WriteBack {
    let columns = columns.iter().map(|(name, column_type, nullable)| {
        let location = Location {
            file: "sql/health_score.sql".into(),
            line: 1,
            column: 1,
        };
        SchemaColumn {
            name: (*name).to_owned(),
            column_type: *column_type,
            nullable: *nullable,
            location,
        }
    });
    let field = |(index, (name, value)): (usize, (&str, FieldValue))| Field {
        column: NamePart {
            text: name.to_owned(),
            quoted: false,
        },
        path: Vec::new(),
        value,
        when: When::Always,
        real_time: false,
        on_conflict: crate::domain::field::OnConflict::Overwrite,
        way: None,
        clears_first: false,
        reference: None,
        list: None,
        location: at(10 + index),
    };
    WriteBack {
        canary: None,
        salesforce: crate::domain::connection::SalesforceOptions::default(),
        dataverse: crate::domain::connection::DataverseOptions::default(),
        journal_table: None,
        before_images_kept: None,
        guards: crate::domain::guard::Guards::default(),
        compare: crate::domain::compare::Compare::Destination,
        version: String::new(),
        records_of: crate::domain::job::RecordsOf::All,
        enabled: true,
        creation: None,
        way: None,
        questions: None,
        name: "health_score".to_owned(),
        common_name: None,
        schema: Schema {
            table: vec!["health_score".to_owned()],
            columns: columns.collect(),
            key: vec![0],
            model: None,
            model_location: None,
            file: "sql/health_score.sql".into(),
        },
        source: "dashboard".to_owned(),
        destination: "crm".to_owned(),
        table: ObjectName {
            parts: vec![NamePart {
                text: "ACCOUNTS".to_owned(),
                quoted: true,
            }],
        },
        batch_records_max: std::num::NonZeroUsize::MIN,
        mode: MatchMode::UpdateOnly,
        nulls: NullPolicy::Write,
        only_where: Vec::new(),
        read_back: crate::domain::dependent::ReadBack::default(),
        fields: fields.into_iter().enumerate().map(field).collect(),
        location: at(1),
        table_location: at(2),
    }
}

fn varchar(name: &str, characters: u64) -> ObjectColumn {
    let holds = Holds::Text {
        limit: Some(TextLimit::Characters(characters)),
        repertoire: UTF8,
    };
    ObjectColumn::plain(name, &format!("varchar({characters})"), holds)
}

fn numeric(name: &str) -> ObjectColumn {
    ObjectColumn::plain(name, "numeric(4,1)", Holds::Decimal { size: Some((4, 1)) })
}

fn integer(name: &str) -> ObjectColumn {
    ObjectColumn::plain(
        name,
        "integer",
        Holds::Integer {
            min: i128::from(i32::MIN),
            max: i128::from(i32::MAX),
        },
    )
}

fn object(columns: Vec<ObjectColumn>) -> Object {
    let key = vec![columns[0].name.clone()];
    Object {
        path: vec!["CRM".to_owned(), "ACCOUNTS".to_owned()],
        spelling: Spelling {
            quote: '"',
            account: Some("writer".to_owned()),
        },
        kind: ObjectKind::Table,
        columns,
        unique_keys: vec![key.clone()],
        indexes: vec![key.clone()],
        may_enter: true,
        hides_columns: false,
        may_select: true,
        may_select_rows: true,
        locks: RowLocks::Each,
        primary_key: key,
        followed: Vec::new(),
        obstacles: Vec::new(),
    }
}

fn facts() -> RunFacts {
    let completed_at = Utc.timestamp_opt(1_763_272_800, 123_456_789).unwrap();
    RunFacts {
        run: 4182,
        job: "weekly".to_owned(),
        cycle: Cycle {
            id: "2026-W47".to_owned(),
            completed_at,
        },
        started_at: completed_at,
    }
}

fn method(method: Method, column: Option<usize>) -> FieldValue {
    FieldValue::Method(MethodCall {
        method,
        columns: column.into_iter().collect(),
        setting: Setting::Nothing,
    })
}

fn plan(
    write_back: &WriteBack,
    object: &Object,
) -> Result<(Layout, Mapping, Vec<Problem>), Vec<Problem>> {
    let none = Referrals::default();
    Mapping::plan(write_back, object, None, &none, Zones::default(), &facts())
}

/// As people read it, without the words that every line has.
fn shown(problems: &[Problem]) -> Vec<String> {
    let show = |problem: &Problem| {
        let severity = if problem.severity == Severity::Mistake {
            ""
        } else {
            "warning: "
        };
        let hint = problem
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!(" [{hint}]"));
        format!(
            "{}: {severity}{}{hint}",
            problem.location.as_ref().unwrap().line,
            problem.message
        )
    };
    problems.iter().map(show).collect()
}

fn mistakes(write_back: &WriteBack, object: &Object) -> Vec<String> {
    shown(&plan(write_back, object).map(|_| ()).unwrap_err())
}

fn scores() -> Vec<(&'static str, FieldValue)> {
    vec![
        ("account_id", FieldValue::Column(0)),
        ("HEALTH_SCORE", FieldValue::Column(1)),
    ]
}

const SCORE_COLUMNS: [(&str, SchemaType, bool); 2] = [
    ("account_id", TEXT, false),
    ("health_score", DECIMAL_5_2, true),
];

#[test]
fn columns_become_fields_and_stamps_stand_beside_them() {
    let mut fields = scores();
    fields.push(("source", FieldValue::String("health dashboard".to_owned())));
    fields.push(("SCORED_AT", method(Method::CycleCompletedAt, None)));
    fields.push(("RUN", method(Method::RunId, None)));
    fields.push((
        "TIER",
        FieldValue::Method(MethodCall {
            method: Method::Label,
            columns: vec![1],
            setting: Setting::Labels(vec![
                Label {
                    below: Some("40".to_owned()),
                    label: "at risk".to_owned(),
                },
                Label {
                    below: None,
                    label: "healthy".to_owned(),
                },
            ]),
        }),
    ));
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        numeric("HEALTH_SCORE"),
        varchar("SOURCE", 20),
        ObjectColumn::plain(
            "SCORED_AT",
            "datetime",
            Holds::Timestamp { fraction_digits: 0 },
        ),
        integer("RUN"),
        ObjectColumn::plain(
            "TIER",
            "enum('at risk','healthy')",
            Holds::Label(vec!["at risk".to_owned(), "healthy".to_owned()]),
        ),
    ]);
    let (layout, mapping, warnings) = plan(&write_back(&SCORE_COLUMNS, fields), &object).unwrap();
    assert_eq!(shown(&warnings), [""; 0]);
    let names: Vec<_> = layout
        .fields
        .iter()
        .map(|field| (field.column.name.as_str(), field.stamp, field.key))
        .collect();
    let expected = [
        ("ACCOUNT_ID", false, true),
        ("HEALTH_SCORE", false, false),
        ("SOURCE", false, false),
        ("SCORED_AT", true, false),
        ("RUN", true, false),
        ("TIER", false, false),
    ];
    assert_eq!(names, expected);
    assert_eq!(mapping.key_columns(), ["ACCOUNT_ID"]);

    let conformed = df!(
        "account_id" => ["A1", "A2", "A3", "A3456789012345678,x"],
        "health_score" => [Some("87.50"), Some("12.25"), None, Some("1.00")],
        RECORD_POSITION => [5_u64, 6, 7, 8],
    );
    let sifted = mapping.apply(&conformed.unwrap());
    let rejections = sifted.rejections.iter().map(|rejection| {
        (
            rejection.record,
            rejection.key.as_deref(),
            rejection.stage,
            rejection.column.as_deref(),
            rejection.reason.as_str(),
        )
    });
    let expected = [
        (
            6,
            Some("A2"),
            Stage::Mapping,
            Some("HEALTH_SCORE"),
            "2 digits after the point, numeric(4,1) holds 1",
        ),
        (
            8,
            Some("\"A3456789012345678,x\""),
            Stage::Mapping,
            Some("ACCOUNT_ID"),
            "19 characters, varchar(18) holds 18",
        ),
    ];
    assert_eq!(rejections.collect::<Vec<_>>(), expected);
    assert!(mapping.accepts(&sifted.records));
    assert!(!mapping.accepts(&sifted.records.drop("TIER").unwrap()));
    let mut altered = sifted.records.clone();
    altered
        .replace("TIER", Column::new("TIER".into(), [1_i64, 2]))
        .unwrap();
    assert!(
        !mapping.accepts(&altered),
        "numbers where the object now has text"
    );

    let completed = mapping.complete(&sifted.records);
    let texts: Vec<Vec<Option<String>>> = layout
        .fields
        .iter()
        .map(|field| {
            let values = completed
                .column(&field.column.name)
                .unwrap()
                .as_materialized_series();
            assert_eq!(*values.dtype(), field.kind.representation());
            texts_of(values, field.kind)
                .unwrap()
                .iter()
                .map(|text| text.map(str::to_owned))
                .collect()
        })
        .collect();
    let cells = |text: &str| vec![Some(text.to_owned()), Some(text.to_owned())];
    let expected = [
        vec![Some("A1".to_owned()), Some("A3".to_owned())],
        vec![Some("87.50".to_owned()), None],
        cells("health dashboard"),
        cells("2025-11-16 06:00:00"),
        cells("4182"),
        vec![Some("healthy".to_owned()), None],
    ];
    assert_eq!(texts, expected);
}

#[test]
fn a_fraction_that_the_column_does_not_keep_rejects_its_record() {
    let holds = Holds::Timestamp { fraction_digits: 0 };
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        ObjectColumn::plain("SCORED_AT", "datetime", holds),
    ]);
    let columns = [
        ("account_id", TEXT, false),
        ("scored_at", SchemaType::Timestamp, true),
    ];
    let fields = vec![
        ("ACCOUNT_ID", FieldValue::Column(0)),
        ("SCORED_AT", FieldValue::Column(1)),
    ];
    let (_, mapping, _) = plan(&write_back(&columns, fields), &object).unwrap();
    let moments = Series::new("scored_at".into(), [1_500_000_i64, 2_000_000]);
    let moments = moments.cast(&Kind::Timestamp.representation()).unwrap();
    let mut conformed = df!("account_id" => ["A1", "A2"], RECORD_POSITION => [0_u64, 1]).unwrap();
    conformed.with_column(moments.into_column()).unwrap();
    let sifted = mapping.apply(&conformed);
    let rejected: Vec<u64> = sifted
        .rejections
        .iter()
        .map(|rejection| rejection.record)
        .collect();
    assert_eq!((rejected, sifted.records.height()), (vec![0], 1));
}

#[test]
fn columns_that_fit_as_they_are_are_not_copied() {
    let holds = Holds::Decimal {
        size: Some((10, 2)),
    };
    let object = object(vec![
        ObjectColumn::plain(
            "ACCOUNT_ID",
            "text",
            Holds::Text {
                limit: None,
                repertoire: UTF8,
            },
        ),
        ObjectColumn::plain("HEALTH_SCORE", "numeric(10,2)", holds),
    ]);
    let (_, mapping, _) = plan(&write_back(&SCORE_COLUMNS, scores()), &object).unwrap();
    let conformed =
        df!("account_id" => ["A1"], "health_score" => ["87.50"], RECORD_POSITION => [0_u64])
            .unwrap();
    let applied = mapping.apply(&conformed).records;
    let views = |frame: &DataFrame, name: &str| {
        frame
            .column(name)
            .unwrap()
            .str()
            .unwrap()
            .downcast_iter()
            .next()
            .unwrap()
            .views()
            .as_ptr()
    };
    assert_eq!(
        views(&conformed, "account_id"),
        views(&applied, "ACCOUNT_ID")
    );
    assert_eq!(
        views(&conformed, "health_score"),
        views(&applied, "HEALTH_SCORE")
    );
    let completed = mapping.complete(&applied.drop(RECORD_POSITION).unwrap());
    assert_eq!(
        completed.column("HEALTH_SCORE").unwrap().get(0).unwrap(),
        AnyValue::String("87.50")
    );
}

#[test]
fn names_that_are_wrong_are_told_all_at_once() {
    let fields = vec![
        ("ACCOUNT_ID", FieldValue::Column(0)),
        ("HEALTHSCORE", FieldValue::Column(1)),
        ("account_id", FieldValue::String("x".to_owned())),
        ("Owner", FieldValue::String("x".to_owned())),
    ];
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        numeric("HEALTH_SCORE"),
        varchar("OWNER", 9),
        varchar("owner", 9),
    ]);
    let expected = [
        "11: column `HEALTHSCORE` is not in `CRM.ACCOUNTS` [did you mean `HEALTH_SCORE`?]",
        "12: column `ACCOUNT_ID` is written by two fields [the other one stands at schedules/weekly.toml:10:1; keep one of them]",
        "13: column `Owner` of `CRM.ACCOUNTS` could be `OWNER` or `owner` [write the name in upper and lower case as the database has it]",
    ];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, fields), &object),
        expected
    );
}

#[test]
fn rights_that_are_missing_are_told_with_the_grant() {
    let mut columns = vec![varchar("ACCOUNT_ID", 18), numeric("HEALTH_SCORE")];
    columns[0].may_update = false;
    columns[1].may_update = false;
    columns[1].may_insert = false;
    let mut object = object(columns);
    object.may_select = false;
    let mut write_back = write_back(&SCORE_COLUMNS, scores());
    let select = "2: `CRM.ACCOUNTS` may not be read, and matching reads it [GRANT SELECT ON \"CRM\".\"ACCOUNTS\" TO writer]";
    let update = "11: `HEALTH_SCORE` of `CRM.ACCOUNTS` may not be updated [GRANT UPDATE (\"HEALTH_SCORE\") ON \"CRM\".\"ACCOUNTS\" TO writer]";
    let insert = "11: `HEALTH_SCORE` of `CRM.ACCOUNTS` may not be inserted [GRANT INSERT (\"HEALTH_SCORE\") ON \"CRM\".\"ACCOUNTS\" TO writer]";
    assert_eq!(mistakes(&write_back, &object), [select, update]);
    write_back.mode = MatchMode::Upsert;
    assert_eq!(mistakes(&write_back, &object), [select, update, insert]);
    write_back.mode = MatchMode::CreateOnly;
    assert_eq!(mistakes(&write_back, &object), [select, insert]);
}

#[test]
fn columns_that_cannot_be_written_are_told() {
    let mut generated = numeric("HEALTH_SCORE");
    generated.generated = true;
    let mut object = object(vec![
        varchar("ACCOUNT_ID", 18),
        generated,
        ObjectColumn::plain("PHOTO", "bytea", Holds::Unsupported),
    ]);
    let mut fields = scores();
    fields.push(("PHOTO", FieldValue::String("x".to_owned())));
    let expected = [
        "11: `HEALTH_SCORE` is computed by the database and cannot be written [map to the columns it is computed from, or leave it out]",
        "12: `PHOTO` is bytea, a type that write-backs do not write [leave the column out]",
    ];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, fields), &object),
        expected
    );
    // A key that the database computes is matched on, and cannot be given to a new row.
    object.columns = vec![varchar("ACCOUNT_ID", 18), numeric("HEALTH_SCORE")];
    object.columns[0].generated = true;
    let mut keyed = write_back(&SCORE_COLUMNS, scores());
    assert!(plan(&keyed, &object).is_ok());
    keyed.mode = MatchMode::Upsert;
    assert!(
        mistakes(&keyed, &object)[0].starts_with("10: `ACCOUNT_ID` is computed by the database")
    );
    // That the whole view cannot be written says all there is to say of its columns.
    object.kind = ObjectKind::View { updatable: false };
    let expected =
        ["2: `CRM.ACCOUNTS` is a view that cannot be written [name the table behind it]"];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, scores()), &object),
        expected
    );
}

#[test]
fn rights_that_are_hidden_are_told_with_the_grant() {
    let mut columns = vec![varchar("ACCOUNT_ID", 18), numeric("HEALTH_SCORE")];
    columns[1].may_select = false;
    let mut closed = object(columns);
    closed.may_enter = false;
    let expected = [
        "2: the schema of `CRM.ACCOUNTS` may not be used [GRANT USAGE ON SCHEMA \"CRM\" TO writer]",
        "11: `HEALTH_SCORE` of `CRM.ACCOUNTS` may not be read, and comparing reads it [GRANT SELECT (\"HEALTH_SCORE\") ON \"CRM\".\"ACCOUNTS\" TO writer]",
    ];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, scores()), &closed),
        expected
    );
    let mut partly_shown = object(vec![varchar("ACCOUNT_ID", 18)]);
    partly_shown.hides_columns = true;
    let expected = [
        "11: column `HEALTH_SCORE` is not in `CRM.ACCOUNTS` [check the name; if it is right, the user may not see the column: GRANT SELECT (\"HEALTH_SCORE\") ON \"CRM\".\"ACCOUNTS\" TO writer]",
    ];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, scores()), &partly_shown),
        expected
    );
}

#[test]
fn types_that_never_fit_are_told_with_the_type_that_would() {
    let columns = [
        ("account_id", TEXT, false),
        (
            "risk",
            SchemaType::Text {
                characters_max: Some(16),
            },
            true,
        ),
        ("scored_at", SchemaType::Timestamp, true),
        ("score", SchemaType::Float { bits: 64 }, true),
        ("id", SchemaType::Uuid, true),
    ];
    let fields = vec![
        ("ACCOUNT_ID", FieldValue::Column(0)),
        ("RISK", FieldValue::Column(1)),
        ("SCORED_AT", FieldValue::Column(2)),
        ("SCORE", method(Method::PercentOfOne, Some(3))),
        ("ID", FieldValue::Column(4)),
        ("DAY", method(Method::CycleCompletedAt, None)),
        ("LOWER", method(Method::Lower, Some(1))),
        ("LITERAL", FieldValue::String("many".to_owned())),
        ("SOURCE", FieldValue::String("dashboard".to_owned())),
        ("JOB", method(Method::JobName, None)),
    ];
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        integer("RISK"),
        ObjectColumn::plain(
            "SCORED_AT",
            "timestamptz",
            Holds::Instant { fraction_digits: 6 },
        ),
        numeric("SCORE"),
        varchar("ID", 18),
        ObjectColumn::plain("DAY", "date", Holds::Date),
        integer("LOWER"),
        integer("LITERAL"),
        varchar("SOURCE", 4),
        varchar("JOB", 4),
    ]);
    let expected = [
        "11: `risk` is VARCHAR(16), which does not fit `RISK` (integer) [declare `risk` as INTEGER in sql/health_score.sql]",
        "12: `scored_at` has no time zone, and `SCORED_AT` (timestamptz) holds instants [say where its clock hangs: `timezone = \"…\"` in `[connections.dashboard]`]",
        "13: method `percent_of_one` takes DECIMAL and whole numbers: a float moved by two digits is not exact, and `score` is DOUBLE PRECISION",
        "14: `id` does not fit `ID`: UUID takes 36 characters, varchar(18) holds 18",
        "15: method `cycle_completed_at` is TIMESTAMP WITH TIME ZONE, which does not fit `DAY` (date)",
        "16: `lower` of `risk` is TEXT, which does not fit `LOWER` (integer)",
        "17: the string does not fit `LITERAL` (integer): not a number",
        "18: the string does not fit `SOURCE` (varchar(4)): 9 characters, varchar(4) holds 4",
        "19: method `job_name` does not fit `JOB` (varchar(4)): 6 characters, varchar(4) holds 4",
    ];
    assert_eq!(mistakes(&write_back(&columns, fields), &object), expected);
}

#[test]
fn labels_that_do_not_fit_are_told() {
    let label = |below: Option<&str>, label: &str| Label {
        below: below.map(str::to_owned),
        label: label.to_owned(),
    };
    let labels = vec![label(Some("40"), "at risk"), label(None, "ok")];
    let mut fields = scores();
    fields.push((
        "TIER",
        FieldValue::Method(MethodCall {
            method: Method::Label,
            columns: vec![1],
            setting: Setting::Labels(labels),
        }),
    ));
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        numeric("HEALTH_SCORE"),
        varchar("TIER", 4),
    ]);
    let expected = ["12: label `at risk` does not fit `TIER`: 7 characters, varchar(4) holds 4"];
    assert_eq!(
        mistakes(&write_back(&SCORE_COLUMNS, fields), &object),
        expected
    );
}

#[test]
fn strings_are_read_as_their_columns_type() {
    let mut fields = scores();
    fields.push(("ACTIVE", FieldValue::String("true".to_owned())));
    fields.push(("SINCE", FieldValue::String("2026-01-01".to_owned())));
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        numeric("HEALTH_SCORE"),
        ObjectColumn::plain("ACTIVE", "boolean", Holds::Boolean),
        ObjectColumn::plain("SINCE", "date", Holds::Date),
    ]);
    let (_, mapping, _) = plan(&write_back(&SCORE_COLUMNS, fields), &object).unwrap();
    let completed =
        mapping.complete(&df!("ACCOUNT_ID" => ["A1"], "HEALTH_SCORE" => ["1.5"]).unwrap());
    assert_eq!(
        completed.column("ACTIVE").unwrap().get(0).unwrap(),
        AnyValue::Boolean(true)
    );
    assert_eq!(
        completed.column("SINCE").unwrap().get(0).unwrap(),
        AnyValue::Date(20_454)
    );
}

#[test]
fn a_write_back_that_would_never_write_is_a_mistake() {
    let object = object(vec![varchar("ACCOUNT_ID", 18), varchar("JOB", 18)]);
    let key = ("ACCOUNT_ID", FieldValue::Column(0));
    let hint = "[give a column of the schema a field]";
    let mut alone = write_back(&SCORE_COLUMNS, vec![key.clone()]);
    let expected = format!(
        "1: `health_score` has no field beside its key, so there is nothing to update {hint}"
    );
    assert_eq!(mistakes(&alone, &object), [expected]);
    alone.mode = MatchMode::CreateOnly;
    assert!(plan(&alone, &object).is_ok());
    let stamps = write_back(
        &SCORE_COLUMNS,
        vec![key.clone(), ("JOB", method(Method::JobName, None))],
    );
    let expected = format!(
        "1: `health_score` writes nothing but stamps, and a stamp alone never causes a write {hint}"
    );
    assert_eq!(mistakes(&stamps, &object), [expected]);
    let string = write_back(
        &SCORE_COLUMNS,
        vec![key, ("JOB", FieldValue::String("x".to_owned()))],
    );
    assert!(plan(&string, &object).is_ok());
}

#[test]
fn an_insert_must_fill_what_has_no_default() {
    let mut name = varchar("NAME", 40);
    name.nullable = false;
    let mut numbered = integer("ID");
    (numbered.nullable, numbered.has_default) = (false, true);
    let object = object(vec![
        varchar("ACCOUNT_ID", 18),
        numeric("HEALTH_SCORE"),
        name,
        numbered,
    ]);
    let mut write_back = write_back(&SCORE_COLUMNS, scores());
    assert!(plan(&write_back, &object).is_ok());
    write_back.mode = MatchMode::Upsert;
    let expected = "2: `NAME` of `CRM.ACCOUNTS` is NOT NULL without a default, and `upsert` creates rows without it [give it a field, or a default in the database]";
    assert_eq!(mistakes(&write_back, &object), [expected]);
}

#[test]
fn null_for_a_not_null_column_is_foreseen_and_rejected() {
    let mut score = numeric("HEALTH_SCORE");
    score.nullable = false;
    let object = object(vec![varchar("ACCOUNT_ID", 18), score]);
    let mut write_back = write_back(&SCORE_COLUMNS, scores());
    write_back.fields[1].when = When::IfEmpty;
    let (_, mapping, warnings) = plan(&write_back, &object).unwrap();
    let foreseen = "11: warning: `health_score` may be NULL and `HEALTH_SCORE` is NOT NULL: records without a value will be rejected";
    let expected = [
        format!("{foreseen} [set `nulls = \"keep\"` to keep what the destination has]"),
        "11: warning: `HEALTH_SCORE` is NOT NULL and never empty, so `if_empty` never updates it"
            .to_owned(),
    ];
    assert_eq!(shown(&warnings), expected);
    let conformed =
        df!("account_id" => ["A1"], "health_score" => [None::<&str>], RECORD_POSITION => [0_u64])
            .unwrap();
    assert_eq!(
        mapping.apply(&conformed).rejections[0].reason,
        "NULL in a NOT NULL column"
    );
    write_back.nulls = NullPolicy::Keep;
    let (_, mapping, _) = plan(&write_back, &object).unwrap();
    assert_eq!(mapping.apply(&conformed).rejections, []);
    write_back.mode = MatchMode::Upsert;
    let (_, mapping, _) = plan(&write_back, &object).unwrap();
    assert_eq!(mapping.apply(&conformed).rejections.len(), 1);
}

#[test]
fn a_key_without_an_index_deserves_a_look() {
    let mut object = object(vec![varchar("ACCOUNT_ID", 18), numeric("HEALTH_SCORE")]);
    object.indexes.clear();
    let (_, _, warnings) = plan(&write_back(&SCORE_COLUMNS, scores()), &object).unwrap();
    let expected = "2: warning: no index of `CRM.ACCOUNTS` begins with `ACCOUNT_ID`: every batch will read the whole table [CREATE INDEX \"accounts_account_id\" ON \"CRM\".\"ACCOUNTS\" (\"ACCOUNT_ID\")]";
    assert_eq!(shown(&warnings), [expected]);
}

#[test]
fn a_record_at_fault_in_two_columns_is_rejected_once() {
    let object = object(vec![varchar("ACCOUNT_ID", 2), numeric("HEALTH_SCORE")]);
    let (_, mapping, _) = plan(&write_back(&SCORE_COLUMNS, scores()), &object).unwrap();
    let conformed =
        df!("account_id" => ["A10"], "health_score" => ["1.25"], RECORD_POSITION => [3_u64])
            .unwrap();
    let sifted = mapping.apply(&conformed);
    assert_eq!((sifted.records.height(), sifted.rejections.len()), (0, 1));
    assert_eq!(
        sifted.rejections[0].reason,
        "3 characters, varchar(2) holds 2"
    );
}
