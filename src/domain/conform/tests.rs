use polars::prelude::{DataFrame, DataType, IntoSeries, NamedFrom, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::domain::conversion::texts_of;
use crate::domain::problem::Location;
use crate::domain::schema::DecimalSize;

const TEXT: SchemaType = SchemaType::Text {
    characters_max: None,
};
const INTEGER: SchemaType = SchemaType::Integer { bits: 32 };
const BIGINT: SchemaType = SchemaType::Integer { bits: 64 };
const DECIMAL: SchemaType = SchemaType::Decimal { size: None };
const DECIMAL_5_2: SchemaType = SchemaType::Decimal {
    size: Some(DecimalSize {
        precision: 5,
        scale: 2,
    }),
};
const REAL: SchemaType = SchemaType::Float { bits: 32 };
const DOUBLE: SchemaType = SchemaType::Float { bits: 64 };

const TYPES: [SchemaType; 16] = [
    TEXT,
    SchemaType::Text {
        characters_max: Some(5),
    },
    SchemaType::Integer { bits: 16 },
    INTEGER,
    BIGINT,
    DECIMAL,
    DECIMAL_5_2,
    REAL,
    DOUBLE,
    SchemaType::Boolean,
    SchemaType::Date,
    SchemaType::Time,
    SchemaType::Timestamp,
    SchemaType::TimestampWithZone,
    SchemaType::Uuid,
    SchemaType::Json,
];

fn column(name: &str, column_type: SchemaType, nullable: bool) -> SchemaColumn {
    let location = Location {
        file: "sql/scores.sql".into(),
        line: 1,
        column: 1,
    };
    SchemaColumn {
        name: name.to_owned(),
        column_type,
        nullable,
        location,
    }
}

fn schema(columns: Vec<SchemaColumn>, key: Vec<usize>) -> Schema {
    Schema {
        table: vec!["scores".to_owned()],
        columns,
        key,
        model: None,
        model_location: None,
        file: "sql/scores.sql".into(),
    }
}

/// Conforms one column beside a key that counts from 1.
fn conform_one(values: Series, column_type: SchemaType) -> Sifted {
    let keys = Series::new(
        "id".into(),
        (1..=values.len())
            .map(|key| key.to_string())
            .collect::<Vec<_>>(),
    );
    let positions = (10..).take(values.len()).collect::<Vec<u64>>();
    let positions = Series::new(RECORD_POSITION.into(), positions);
    let values = values.with_name("value".into());
    let columns = vec![
        keys.into_column(),
        values.into_column(),
        positions.into_column(),
    ];
    let pulled = DataFrame::new(columns[0].len(), columns).unwrap();
    conform(
        &schema(
            vec![
                column("id", TEXT, false),
                column("value", column_type, true),
            ],
            vec![0],
        ),
        &pulled,
    )
}

/// What became of each value: its text, or the reason it was rejected for.
fn outcomes(values: Series, column_type: SchemaType) -> Vec<Result<Option<String>, String>> {
    let count = values.len();
    let sifted = conform_one(values, column_type);
    let conformed = sifted
        .records
        .column("value")
        .unwrap()
        .as_materialized_series();
    assert_eq!(*conformed.dtype(), column_type.kind().representation());
    let texts = texts_of(conformed, column_type.kind()).unwrap();
    let mut texts = texts.iter();
    let mut rejections = sifted.rejections.into_iter().peekable();
    let mut outcome = |position: usize| match rejections
        .next_if(|rejection| rejection.record == position as u64 + 10)
    {
        Some(rejection) => {
            assert_eq!(
                (rejection.stage, rejection.column.as_deref()),
                (Stage::Schema, Some("value"))
            );
            assert_eq!(rejection.key, Some((position + 1).to_string()));
            Err(rejection.reason)
        }
        None => Ok(texts.next().unwrap().map(str::to_owned)),
    };
    (0..count).map(&mut outcome).collect()
}

fn outcome_of(text: &str, column_type: SchemaType) -> Result<String, String> {
    outcomes(Series::new("value".into(), [text]), column_type)
        .remove(0)
        .map(Option::unwrap)
}

fn accepts(column_type: SchemaType, pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        assert_eq!(
            outcome_of(text, column_type),
            Ok((*expected).to_owned()),
            "{text} as {column_type}"
        );
    }
}

fn refuses(column_type: SchemaType, pairs: &[(&str, &str)]) {
    for (text, reason) in pairs {
        assert_eq!(
            outcome_of(text, column_type),
            Err((*reason).to_owned()),
            "{text} as {column_type}"
        );
    }
}

#[test]
fn text_is_counted_in_characters() {
    let three = SchemaType::Text {
        characters_max: Some(3),
    };
    accepts(
        three,
        &[
            ("", ""),
            ("äöü", "äöü"),
            ("a\0b", "a\0b"),
            ("🦀🦀🦀", "🦀🦀🦀"),
        ],
    );
    refuses(
        three,
        &[
            ("abcd", "4 characters, VARCHAR(3) holds 3"),
            ("äöüß", "4 characters, VARCHAR(3) holds 3"),
        ],
    );
}

#[test]
fn integers_are_digits_in_range() {
    accepts(
        INTEGER,
        &[
            ("007", "7"),
            ("+7", "7"),
            ("-0", "0"),
            ("-2147483648", "-2147483648"),
        ],
    );
    let empty = "empty text is not an INTEGER; leave the cell empty for NULL";
    let range = "outside the range of INTEGER, -2147483648 to 2147483647";
    let spelled = "written with a point or an exponent; INTEGER takes digits only";
    refuses(
        INTEGER,
        &[
            ("", empty),
            ("2147483648", range),
            ("99999999999999999999", "outside the range of INTEGER"),
            ("1.0", spelled),
            ("1e3", spelled),
            ("1.5", "has digits after the point, INTEGER holds none"),
            (" 7", "blanks around the number"),
            ("seven", "not a number"),
            ("NaN", "NaN cannot be written"),
        ],
    );
    refuses(
        SchemaType::Integer { bits: 16 },
        &[("32768", "outside the range of SMALLINT, -32768 to 32767")],
    );
    accepts(BIGINT, &[("-9223372036854775808", "-9223372036854775808")]);
}

#[test]
fn decimals_keep_every_digit_or_are_refused() {
    let long = format!("{}.{}", "9".repeat(3_000), "1".repeat(3_000));
    accepts(
        DECIMAL,
        &[
            ("1.50", "1.5"),
            ("1e-7", "0.0000001"),
            ("-0.0", "0"),
            (&long, &long),
        ],
    );
    accepts(
        DECIMAL_5_2,
        &[
            ("87.5", "87.50"),
            ("87.5000", "87.50"),
            ("-999.99", "-999.99"),
            ("8750e-2", "87.50"),
        ],
    );
    refuses(
        DECIMAL_5_2,
        &[
            (
                "",
                "empty text is not a DECIMAL(5,2); leave the cell empty for NULL",
            ),
            ("87.125", "3 digits after the point, DECIMAL(5,2) holds 2"),
            ("1000", "4 digits before the point, DECIMAL(5,2) holds 3"),
            ("1e5", "6 digits before the point, DECIMAL(5,2) holds 3"),
            ("1,5", "not a number"),
            ("1.5 ", "blanks around the number"),
            ("-inf", "an infinite number cannot be written"),
            ("1e9999", "its exponent is beyond 1000"),
        ],
    );
}

#[test]
fn floats_are_the_nearest_ones() {
    accepts(
        DOUBLE,
        &[
            ("0.1", "0.1"),
            ("1e300", "1e300"),
            ("-0", "-0"),
            ("5e-324", "5e-324"),
            (".5", "0.5"),
        ],
    );
    accepts(REAL, &[("0.1", "0.1"), ("16777217", "16777216")]);
    refuses(
        REAL,
        &[
            ("1e39", "outside the range of REAL"),
            ("1e-60", "too close to zero for REAL"),
        ],
    );
    refuses(
        DOUBLE,
        &[
            (
                "",
                "empty text is not a DOUBLE PRECISION; leave the cell empty for NULL",
            ),
            ("1e309", "outside the range of DOUBLE PRECISION"),
            ("1e99999", "outside the range of DOUBLE PRECISION"),
            ("1e-400", "too close to zero for DOUBLE PRECISION"),
            ("nan", "NaN cannot be written"),
            ("+Infinity", "an infinite number cannot be written"),
            ("1.5x", "not a number"),
        ],
    );
}

#[test]
fn booleans_have_four_spellings_each() {
    for text in ["true", "T", "1", "Yes"] {
        accepts(SchemaType::Boolean, &[(text, "true")]);
    }
    for text in ["FALSE", "f", "0", "no"] {
        accepts(SchemaType::Boolean, &[(text, "false")]);
    }
    let reason = "not a boolean: true or false is expected";
    refuses(
        SchemaType::Boolean,
        &[("2", reason), ("on", reason), ("true ", reason)],
    );
    refuses(
        SchemaType::Boolean,
        &[(
            "",
            "empty text is not a BOOLEAN; leave the cell empty for NULL",
        )],
    );
}

#[test]
fn moments_are_iso_8601() {
    accepts(SchemaType::Date, &[("2024-02-29", "2024-02-29")]);
    refuses(SchemaType::Date, &[("2026-13-01", "not a date: month 13")]);
    accepts(
        SchemaType::Time,
        &[("06:30", "06:30:00"), ("06:30:00.5000000", "06:30:00.5")],
    );
    accepts(
        SchemaType::Timestamp,
        &[("2026-11-21T06:30", "2026-11-21 06:30:00")],
    );
    accepts(
        SchemaType::TimestampWithZone,
        &[("2026-11-21 06:30:00.25+05:30", "2026-11-21T01:00:00.25Z")],
    );
    let zone = "has a time zone; declare the column TIMESTAMP WITH TIME ZONE";
    refuses(SchemaType::Timestamp, &[("2026-11-21 06:30:00Z", zone)]);
    refuses(
        SchemaType::TimestampWithZone,
        &[(
            "2026-11-21 06:30:00",
            "has no time zone, such as Z or +02:00",
        )],
    );
}

#[test]
fn uuids_and_json_are_checked() {
    let canonical = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    for text in [
        canonical,
        "67E5504410B1426F9247BB680E5FE0C8",
        "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
    ] {
        accepts(SchemaType::Uuid, &[(text, canonical)]);
    }
    refuses(SchemaType::Uuid, &[("67e55044", "not a UUID")]);
    accepts(
        SchemaType::Json,
        &[
            ("{ \"a\": [1, null] }", "{ \"a\": [1, null] }"),
            ("1e999", "1e999"),
        ],
    );
    refuses(
        SchemaType::Json,
        &[("{\n\"a\": }", "not JSON: a mistake in line 2, character 6")],
    );
}

#[test]
fn text_in_its_canonical_form_is_not_copied() {
    let texts = Series::new("value".into(), ["87.50", "0.00"]);
    let converted = parse_texts(texts.str().unwrap(), DECIMAL_5_2).unwrap();
    let views = |series: &Series| {
        series
            .str()
            .unwrap()
            .downcast_iter()
            .next()
            .unwrap()
            .views()
            .as_ptr()
    };
    assert_eq!(views(&texts), views(&converted.values));
}

#[test]
fn null_is_no_key_and_nothing_in_a_not_null_column() {
    let pulled = polars::prelude::df!(
        "region" => [Some("EU"), Some("EU"), None, Some(""), Some("EU")],
        "id" => [Some("1"), Some("x"), Some("3"), Some("4"), None],
        "score" => [None, Some("many"), Some("1"), Some("1"), Some("1")],
        RECORD_POSITION => [0_u64, 1, 2, 3, 4],
    );
    let columns = vec![
        column("region", TEXT, false),
        column("id", INTEGER, false),
        column("score", INTEGER, false),
    ];
    let sifted = conform(&schema(columns, vec![1, 0]), &pulled.unwrap());
    assert_eq!(sifted.records.height(), 0);
    let rejections: Vec<_> = sifted
        .rejections
        .iter()
        .map(|rejection| {
            (
                rejection.key.as_deref(),
                rejection.column.as_deref().unwrap(),
                rejection.reason.as_str(),
            )
        })
        .collect();
    let expected = [
        (Some("1,EU"), "score", "NULL in a NOT NULL column"),
        (Some("x,EU"), "id", "not a number"),
        (None, "region", "a match key is never NULL"),
        (Some("4,"), "region", "a match key is never empty"),
        (None, "id", "a match key is never NULL"),
    ];
    assert_eq!(rejections, expected);
}

#[test]
fn a_column_the_source_did_not_give_rejects_every_record() {
    let pulled = polars::prelude::df!("id" => ["1"], RECORD_POSITION => [0_u64]).unwrap();
    let sifted = conform(
        &schema(
            vec![column("id", TEXT, false), column("score", INTEGER, true)],
            vec![0],
        ),
        &pulled,
    );
    assert_eq!(
        sifted.rejections[0].reason,
        "the source did not give the column"
    );
}

fn natives(values: Series, column_type: SchemaType) -> Vec<Result<String, String>> {
    let outcomes = outcomes(values, column_type).into_iter();
    outcomes
        .map(|outcome| outcome.map(|text| text.unwrap_or_else(|| "NULL".to_owned())))
        .collect()
}

fn ok(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn err(reason: &str) -> Result<String, String> {
    Err(reason.to_owned())
}

#[test]
fn native_integers_convert_exactly() {
    let wide = Series::new("value".into(), [Some(-1_i64), Some(1 << 40), None]);
    let range = "outside the range of INTEGER, -2147483648 to 2147483647";
    assert_eq!(
        natives(wide.clone(), INTEGER),
        [ok("-1"), err(range), ok("NULL")]
    );
    assert_eq!(
        natives(wide.clone(), TEXT),
        [ok("-1"), ok("1099511627776"), ok("NULL")]
    );
    let reason = "13 digits before the point, DECIMAL(5,2) holds 3";
    assert_eq!(
        natives(wide.clone(), DECIMAL_5_2),
        [ok("-1.00"), err(reason), ok("NULL")]
    );
    assert_eq!(
        natives(wide, REAL),
        [ok("-1"), err("REAL cannot hold it exactly"), ok("NULL")]
    );
    let unsigned = Series::new("value".into(), [u64::MAX, 5]);
    let range = "outside the range of BIGINT, -9223372036854775808 to 9223372036854775807";
    assert_eq!(natives(unsigned.clone(), BIGINT), [err(range), ok("5")]);
    assert_eq!(
        natives(unsigned, DECIMAL),
        [ok("18446744073709551615"), ok("5")]
    );
    let flags = Series::new("value".into(), [0_i64, 1, 2]);
    let reason = "not a boolean: 0 or 1 is expected";
    assert_eq!(
        natives(flags, SchemaType::Boolean),
        [ok("false"), ok("true"), err(reason)]
    );
}

#[test]
fn native_floats_convert_exactly() {
    let floats = Series::new(
        "value".into(),
        [87.5, 0.1, 5.0, f64::NAN, f64::NEG_INFINITY, 1e-7],
    );
    let (nan, infinite) = (
        "NaN cannot be written",
        "an infinite number cannot be written",
    );
    assert_eq!(
        natives(floats.clone(), DOUBLE),
        [
            ok("87.5"),
            ok("0.1"),
            ok("5"),
            err(nan),
            err(infinite),
            ok("1e-7")
        ]
    );
    assert_eq!(
        natives(floats.clone(), DECIMAL),
        [
            ok("87.5"),
            ok("0.1"),
            ok("5"),
            err(nan),
            err(infinite),
            ok("0.0000001")
        ]
    );
    let inexact = "REAL cannot hold it exactly";
    assert_eq!(
        natives(floats.clone(), REAL),
        [
            ok("87.5"),
            err(inexact),
            ok("5"),
            err(nan),
            err(infinite),
            err(inexact)
        ]
    );
    let whole = "not a whole number, INTEGER holds no others";
    assert_eq!(
        natives(floats, INTEGER),
        [
            err(whole),
            err(whole),
            ok("5"),
            err(nan),
            err(infinite),
            err(whole)
        ]
    );
}

#[test]
fn native_decimals_convert_exactly() {
    let unscaled = Series::new("value".into(), [Some(8750_i64), Some(-5), Some(0), None]);
    let decimals = unscaled
        .cast(&DataType::Int128)
        .unwrap()
        .i128()
        .unwrap()
        .clone();
    let decimals = decimals.into_decimal(10, 3).unwrap().into_series();
    let reason = "3 digits after the point, DECIMAL(5,2) holds 2";
    assert_eq!(
        natives(decimals.clone(), DECIMAL_5_2),
        [ok("8.75"), err(reason), ok("0.00"), ok("NULL")]
    );
    assert_eq!(
        natives(decimals.clone(), DECIMAL),
        [ok("8.75"), ok("-0.005"), ok("0"), ok("NULL")]
    );
    let whole = "not a whole number, INTEGER holds no others";
    assert_eq!(
        natives(decimals, INTEGER),
        [err(whole), err(whole), ok("0"), ok("NULL")]
    );
}

#[test]
fn native_moments_convert_exactly() {
    let nanos = |zone: Option<&str>| {
        let numbers = Series::new("value".into(), [1_000_i64, 1_500]);
        let zone =
            zone.and_then(|zone| polars::prelude::TimeZone::opt_try_new(Some(zone)).unwrap());
        numbers
            .i64()
            .unwrap()
            .clone()
            .into_datetime(TimeUnit::Nanoseconds, zone)
            .into_series()
    };
    let fine = "finer than a microsecond";
    assert_eq!(
        natives(nanos(None), SchemaType::Timestamp),
        [ok("1970-01-01 00:00:00.000001"), err(fine)]
    );
    let instants = natives(nanos(Some("Europe/Berlin")), SchemaType::TimestampWithZone);
    assert_eq!(instants, [ok("1970-01-01T00:00:00.000001Z"), err(fine)]);
    let misfit = "TIMESTAMP WITH TIME ZONE does not convert to DATE";
    assert_eq!(
        natives(nanos(Some("UTC")), SchemaType::Date),
        [err(misfit), err(misfit)]
    );
    let zone = "has no time zone; declare the column TIMESTAMP";
    assert_eq!(
        natives(nanos(None), SchemaType::TimestampWithZone),
        [err(zone), err(zone)]
    );
    let zone = "has a time zone; declare the column TIMESTAMP WITH TIME ZONE";
    assert_eq!(
        natives(nanos(Some("UTC")), SchemaType::Timestamp),
        [err(zone), err(zone)]
    );
    let days = Series::new("value".into(), [0_i32, 2_932_897])
        .i32()
        .unwrap()
        .clone()
        .into_date()
        .into_series();
    assert_eq!(
        natives(days, SchemaType::Date),
        [ok("1970-01-01"), err("outside the years 0001 to 9999")]
    );
}

#[test]
fn other_native_columns_are_read_or_refused_as_a_whole() {
    let bytes = Series::new("value".into(), [&b"caf\xc3\xa9"[..], b"\xff"]);
    assert_eq!(
        natives(bytes, TEXT),
        [ok("café"), err("not UTF-8 at byte 1")]
    );
    let bytes = Series::new("value".into(), [&[0x11_u8; 16][..], b"x"]);
    let uuid = "11111111-1111-1111-1111-111111111111";
    assert_eq!(
        natives(bytes, SchemaType::Uuid),
        [ok(uuid), err("not a UUID")]
    );
    let nothing = Series::full_null("value".into(), 2, &DataType::Null);
    assert_eq!(natives(nothing, SchemaType::Time), [ok("NULL"), ok("NULL")]);
    let booleans = Series::new("value".into(), [Some(true), None]);
    assert_eq!(
        natives(booleans.clone(), SchemaType::Boolean),
        [ok("true"), ok("NULL")]
    );
    assert_eq!(
        natives(booleans, INTEGER),
        [err("BOOLEAN does not convert to INTEGER"), ok("NULL")]
    );
    let lists = Series::new("value".into(), [Series::new("".into(), [1_i64])]);
    assert_eq!(
        natives(lists, TEXT),
        [err("values of list[i64] cannot be written back")]
    );
}

proptest! {
    /// Whatever a file holds is rejected, or is a value whose text reads back as the same value.
    #[test]
    fn any_text_is_rejected_or_survives(
        text in prop_oneof![
            "\\PC{0,12}",
            "[-+]?[0-9]{0,7}\\.?[0-9]{0,4}([eE][-+]?[0-9]{1,4})?",
            "[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,8})?)?(Z|[-+][0-9]{2}(:?[0-9]{2})?)?)?",
            "[0-2][0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,8})?)?",
            "[0-9a-fA-F]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-fA-F]{12}",
            "\\[?\"?[a-z0-9]{0,3}\"?\\]?",
        ],
    ) {
        for column_type in TYPES {
            match outcome_of(&text, column_type) {
                Ok(canonical) => {
                    let again = outcome_of(&canonical, column_type);
                    prop_assert_eq!(again, Ok(canonical), "{} as {}", text, column_type);
                }
                // No reason tells the value; short ones occur in any sentence.
                Err(reason) => prop_assert!(text.len() < 8 || !reason.contains(&text), "{} tells {}", reason, text),
            }
        }
    }

    #[test]
    fn decimals_of_a_size_are_exact(units in -9_999_999_i64..=9_999_999, places in 0_usize..=4) {
        let text = format!("{units}e-{places}");
        let scaled = (units as f64) / 10_f64.powi(places as i32);
        match outcome_of(&text, DECIMAL_5_2) {
            Ok(canonical) => {
                prop_assert_eq!(canonical.parse::<f64>().unwrap(), scaled + 0.0);
                prop_assert_eq!(canonical.rfind('.').map(|point| canonical.len() - point), Some(3));
            }
            Err(_) => {
                let has_fine_digits = units % 10_i64.pow(places.saturating_sub(2) as u32) != 0;
                prop_assert!(has_fine_digits || scaled.abs() >= 1000.0);
            }
        }
    }
}
