use polars::prelude::NamedFrom;
use proptest::prelude::*;

use super::*;
use crate::domain::conform::parse_texts;

const TEXT: SchemaType = SchemaType::Text {
    characters_max: None,
};
const INTEGER: SchemaType = SchemaType::Integer { bits: 32 };
const BIGINT: SchemaType = SchemaType::Integer { bits: 64 };
const DECIMAL: SchemaType = SchemaType::Decimal { size: None };
const REAL: SchemaType = SchemaType::Float { bits: 32 };
const DOUBLE: SchemaType = SchemaType::Float { bits: 64 };

const INT4: Holds = Holds::Integer {
    min: -2_147_483_648,
    max: 2_147_483_647,
};
const BIGINT_UNSIGNED: Holds = Holds::Integer {
    min: 0,
    max: u64::MAX as i128,
};
const NUMERIC_5_2: Holds = Holds::Decimal { size: Some((5, 2)) };
const NUMERIC: Holds = Holds::Decimal { size: None };
const ANY_TEXT: Holds = Holds::Text {
    limit: None,
    repertoire: Repertoire::Unicode { nul: true },
};

const BERLIN: Zones = Zones {
    source: Some(chrono_tz::Tz::Europe__Berlin),
    destination: Some(chrono_tz::Tz::Europe__Berlin),
};
const NOWHERE: Zones = Zones {
    source: None,
    destination: None,
};

fn column(texts: &[&str], from: SchemaType) -> Series {
    let texts = Series::new("value".into(), texts);
    let parsed = parse_texts(texts.str().unwrap(), from).unwrap();
    assert_eq!(parsed.faults, [], "{texts:?} is {from}");
    parsed.values
}

fn convert_in(
    zones: Zones,
    texts: &[&str],
    from: SchemaType,
    holds: &Holds,
) -> Result<Converted, Misfit> {
    let holder = Holder {
        holds,
        declared: "the column",
        zones,
        fraction: Fraction::Exact,
    };
    let converted = convert(&column(texts, from), from, holder)?;
    assert_eq!(
        *converted.values.dtype(),
        holds.kind().unwrap().representation(),
        "{from} to {holds:?}"
    );
    assert_eq!(converted.values.len(), texts.len());
    Ok(converted)
}

/// What becomes of one value: the text of what the column holds, or why it does not.
fn outcome(zones: Zones, text: &str, from: SchemaType, holds: &Holds) -> Result<String, String> {
    let converted = convert_in(zones, &[text], from, holds).unwrap();
    match converted.faults.into_iter().next() {
        Some(fault) => Err(fault.reason),
        None => Ok(texts_of(&converted.values, holds.kind().unwrap())
            .unwrap()
            .get(0)
            .unwrap()
            .to_owned()),
    }
}

fn fits(from: SchemaType, holds: &Holds, pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        assert_eq!(
            outcome(NOWHERE, text, from, holds),
            Ok((*expected).to_owned()),
            "{text}, {from} to {holds:?}"
        );
    }
}

fn does_not_fit(from: SchemaType, holds: &Holds, pairs: &[(&str, &str)]) {
    for (text, reason) in pairs {
        assert_eq!(
            outcome(NOWHERE, text, from, holds),
            Err((*reason).to_owned()),
            "{text}, {from} to {holds:?}"
        );
    }
}

fn never_fits(from: SchemaType, holds: &[Holds]) {
    for holds in holds {
        let misfit = convert_in(NOWHERE, &[], from, holds).unwrap_err();
        assert!(
            matches!(misfit, Misfit::Type { .. }),
            "{from} to {holds:?}: {misfit}"
        );
    }
}

#[test]
fn text_fits_by_length_and_characters() {
    let limited = |limit, repertoire| Holds::Text {
        limit: Some(limit),
        repertoire,
    };
    let three = limited(TextLimit::Characters(3), Repertoire::Unicode { nul: false });
    fits(TEXT, &three, &[("äöü", "äöü"), ("", "")]);
    does_not_fit(
        TEXT,
        &three,
        &[("abcd", "4 characters, the column holds 3")],
    );
    does_not_fit(
        TEXT,
        &three,
        &[("a\0", "character 2 is a NUL, which the column cannot hold")],
    );
    let bytes = limited(TextLimit::Bytes(3), Repertoire::Unicode { nul: true });
    fits(TEXT, &bytes, &[("äb", "äb"), ("\0", "\0")]);
    does_not_fit(TEXT, &bytes, &[("äö", "4 bytes, the column holds 3")]);
    let latin = limited(TextLimit::Bytes(3), Repertoire::Latin1);
    fits(TEXT, &latin, &[("äöü", "äöü"), ("€\u{81}ÿ", "€\u{81}ÿ")]);
    let foreign = "character 2 is not in the column's character set";
    does_not_fit(
        TEXT,
        &latin,
        &[("aż", foreign), ("a\u{80}", foreign), ("aɑ", foreign)],
    );
    let basic = Holds::Text {
        limit: None,
        repertoire: Repertoire::BasicPlane,
    };
    fits(TEXT, &basic, &[("\u{FFFF}", "\u{FFFF}")]);
    does_not_fit(TEXT, &basic, &[("a🦀", foreign)]);
    let ascii = Holds::Text {
        limit: None,
        repertoire: Repertoire::Ascii,
    };
    does_not_fit(TEXT, &ascii, &[("aä", foreign)]);
    let words = Holds::Label(vec!["low".to_owned(), "high".to_owned()]);
    fits(TEXT, &words, &[("low", "low")]);
    does_not_fit(
        TEXT,
        &words,
        &[
            ("Low", "not one of the column's words; `low` is the nearest"),
            ("", "not one of the column's words"),
        ],
    );
}

#[test]
fn text_is_never_read_as_anything_else() {
    let others = [
        INT4,
        NUMERIC,
        Holds::Float { bits: 64 },
        Holds::Boolean,
        Holds::Date,
        Holds::Uuid,
        Holds::Json,
    ];
    never_fits(TEXT, &others);
    never_fits(
        TEXT,
        &[Holds::Time { fraction_digits: 6 }, Holds::Unsupported],
    );
}

#[test]
fn integers_fit_where_no_digit_is_lost() {
    let range = "outside the range of the column, -2147483648 to 2147483647";
    fits(BIGINT, &INT4, &[("2147483647", "2147483647")]);
    does_not_fit(BIGINT, &INT4, &[("2147483648", range)]);
    fits(
        BIGINT,
        &BIGINT_UNSIGNED,
        &[("9223372036854775807", "9223372036854775807")],
    );
    does_not_fit(
        BIGINT,
        &BIGINT_UNSIGNED,
        &[(
            "-1",
            "outside the range of the column, 0 to 18446744073709551615",
        )],
    );
    fits(INTEGER, &NUMERIC_5_2, &[("-999", "-999")]);
    does_not_fit(
        INTEGER,
        &NUMERIC_5_2,
        &[("1000", "4 digits before the point, the column holds 3")],
    );
    fits(
        BIGINT,
        &Holds::Float { bits: 64 },
        &[("9007199254740992", "9007199254740992")],
    );
    let inexact = "the column cannot hold it exactly";
    does_not_fit(
        BIGINT,
        &Holds::Float { bits: 64 },
        &[("9007199254740993", inexact)],
    );
    fits(
        INTEGER,
        &Holds::Float { bits: 32 },
        &[("-16777216", "-16777216")],
    );
    does_not_fit(
        INTEGER,
        &Holds::Float { bits: 32 },
        &[("16777217", inexact)],
    );
    fits(INTEGER, &ANY_TEXT, &[("-7", "-7")]);
    let two = Holds::Text {
        limit: Some(TextLimit::Characters(2)),
        repertoire: Repertoire::Ascii,
    };
    does_not_fit(
        INTEGER,
        &two,
        &[("-17", "3 characters, the column holds 2")],
    );
    never_fits(
        INTEGER,
        &[
            Holds::Boolean,
            Holds::Date,
            Holds::Json,
            Holds::Label(vec!["7".to_owned()]),
        ],
    );
}

#[test]
fn decimals_fit_where_no_digit_is_lost() {
    fits(
        DECIMAL,
        &NUMERIC_5_2,
        &[
            ("87.5", "87.5"),
            ("87.5000", "87.5"),
            ("-999.99", "-999.99"),
        ],
    );
    does_not_fit(
        DECIMAL,
        &NUMERIC_5_2,
        &[("0.125", "3 digits after the point, the column holds 2")],
    );
    let as_float = Holds::DecimalAsFloat {
        size: Some((30, 10)),
    };
    fits(
        DECIMAL,
        &as_float,
        &[
            ("12345.6789012345", "12345.6789012345"),
            ("9007199254740992", "9007199254740992"),
        ],
    );
    fits(
        DECIMAL,
        &as_float,
        &[("18100000000000248", "18100000000000248")],
    );
    let too_long = "16 significant digits, the destination keeps 15 of a decimal number";
    does_not_fit(
        DECIMAL,
        &as_float,
        &[
            ("123456.7890123456", too_long),
            ("9007199254740993", too_long),
        ],
    );
    does_not_fit(
        DECIMAL,
        &as_float,
        &[(
            "0.00000000001",
            "11 digits after the point, the column holds 10",
        )],
    );
    fits(DECIMAL, &INT4, &[("5.00", "5"), ("0", "0")]);
    does_not_fit(
        DECIMAL,
        &INT4,
        &[("5.5", "not a whole number, the column holds no others")],
    );
    does_not_fit(
        DECIMAL,
        &INT4,
        &[(
            "1e30",
            "outside the range of the column, -2147483648 to 2147483647",
        )],
    );
    fits(
        DECIMAL,
        &BIGINT_UNSIGNED,
        &[("18446744073709551615", "18446744073709551615")],
    );
    fits(
        DECIMAL,
        &Holds::Float { bits: 64 },
        &[("87.5", "87.5"), ("0.1", "0.1"), ("1e300", "1e300")],
    );
    let inexact = "the column cannot hold it exactly";
    does_not_fit(
        DECIMAL,
        &Holds::Float { bits: 64 },
        &[("0.12345678901234567", inexact), ("1e400", inexact)],
    );
    fits(DECIMAL, &Holds::Float { bits: 32 }, &[("0.1", "0.1")]);
    does_not_fit(
        DECIMAL,
        &Holds::Float { bits: 32 },
        &[("16777217", inexact), ("1e39", inexact), ("1e-50", inexact)],
    );
    fits(DECIMAL, &ANY_TEXT, &[("87.50", "87.5")]);
    never_fits(
        DECIMAL,
        &[
            Holds::Boolean,
            Holds::Uuid,
            Holds::Instant { fraction_digits: 6 },
        ],
    );
}

#[test]
fn floats_fit_where_they_read_back_the_same() {
    fits(DOUBLE, &Holds::Float { bits: 64 }, &[("0.1", "0.1")]);
    fits(
        REAL,
        &Holds::Float { bits: 64 },
        &[("0.5", "0.5"), ("0.1", "0.10000000149011612")],
    );
    fits(DOUBLE, &Holds::Float { bits: 32 }, &[("0.5", "0.5")]);
    does_not_fit(
        DOUBLE,
        &Holds::Float { bits: 32 },
        &[("0.1", "the column cannot hold it exactly")],
    );
    fits(DOUBLE, &NUMERIC_5_2, &[("87.25", "87.25")]);
    fits(REAL, &NUMERIC_5_2, &[("0.1", "0.1")]);
    does_not_fit(
        DOUBLE,
        &NUMERIC_5_2,
        &[("87.125", "3 digits after the point, the column holds 2")],
    );
    fits(
        DOUBLE,
        &ANY_TEXT,
        &[
            ("87.50", "87.5"),
            ("1e21", "1e21"),
            ("1e-7", "1e-7"),
            ("3", "3"),
        ],
    );
    fits(DOUBLE, &INT4, &[("3.0", "3")]);
    never_fits(DOUBLE, &[Holds::Boolean, Holds::Date]);
}

#[test]
fn booleans_fit_numbers_and_text() {
    fits(SchemaType::Boolean, &Holds::Boolean, &[("t", "true")]);
    fits(SchemaType::Boolean, &INT4, &[("t", "1"), ("f", "0")]);
    fits(SchemaType::Boolean, &BIGINT_UNSIGNED, &[("t", "1")]);
    fits(
        SchemaType::Boolean,
        &ANY_TEXT,
        &[("yes", "true"), ("no", "false")],
    );
    never_fits(
        SchemaType::Boolean,
        &[NUMERIC, Holds::Float { bits: 64 }, Holds::Date],
    );
}

#[test]
fn moments_fit_to_the_digit() {
    let whole_seconds = Holds::Timestamp { fraction_digits: 0 };
    fits(
        SchemaType::Timestamp,
        &whole_seconds,
        &[("2026-11-21 06:30:00", "2026-11-21 06:30:00")],
    );
    let reason = "2 digits of a second, the column holds 0";
    does_not_fit(
        SchemaType::Timestamp,
        &whole_seconds,
        &[("2026-11-21 06:30:00.25", reason)],
    );
    does_not_fit(
        SchemaType::Timestamp,
        &whole_seconds,
        &[("1960-01-01 00:00:00.25", reason)],
    );
    let millis = Holds::Time { fraction_digits: 3 };
    fits(
        SchemaType::Time,
        &millis,
        &[("06:30:00.125", "06:30:00.125")],
    );
    does_not_fit(
        SchemaType::Time,
        &millis,
        &[("06:30:00.0625", "4 digits of a second, the column holds 3")],
    );
    fits(
        SchemaType::Date,
        &Holds::Date,
        &[("2026-11-21", "2026-11-21")],
    );
    fits(SchemaType::Date, &ANY_TEXT, &[("2026-11-21", "2026-11-21")]);
    fits(
        SchemaType::Timestamp,
        &ANY_TEXT,
        &[("2026-11-21T06:30", "2026-11-21 06:30:00")],
    );
    fits(
        SchemaType::TimestampWithZone,
        &ANY_TEXT,
        &[("2026-11-21T06:30+01", "2026-11-21T05:30:00Z")],
    );
    fits(
        SchemaType::TimestampWithZone,
        &Holds::Timestamp { fraction_digits: 6 },
        &[("2026-11-21T06:30+01", "2026-11-21 05:30:00")],
    );
    never_fits(
        SchemaType::Date,
        &[INT4, Holds::Timestamp { fraction_digits: 6 }],
    );
    never_fits(
        SchemaType::Timestamp,
        &[Holds::Date, Holds::Time { fraction_digits: 6 }],
    );
    never_fits(SchemaType::TimestampWithZone, &[Holds::Date]);
}

#[test]
fn a_wall_clock_needs_a_zone_to_be_an_instant() {
    let instants = Holds::Instant { fraction_digits: 6 };
    let wall = |text| outcome(BERLIN, text, SchemaType::Timestamp, &instants);
    assert_eq!(
        wall("2026-11-21 06:30:00"),
        Ok("2026-11-21T05:30:00Z".to_owned())
    );
    assert_eq!(
        wall("2026-03-29 02:30:00"),
        Err("the clocks of Europe/Berlin skipped this time".to_owned())
    );
    assert_eq!(
        wall("2026-10-25 02:30:00"),
        Err("the clocks of Europe/Berlin showed this time twice".to_owned())
    );
    let unknown = convert_in(
        NOWHERE,
        &["2026-11-21 06:30:00"],
        SchemaType::Timestamp,
        &instants,
    );
    assert_eq!(unknown.unwrap_err(), Misfit::ZoneUnknown);
    let instant = outcome(
        BERLIN,
        "2026-07-01T00:00Z",
        SchemaType::TimestampWithZone,
        &Holds::Timestamp { fraction_digits: 0 },
    );
    assert_eq!(instant, Ok("2026-07-01 02:00:00".to_owned()));
}

#[test]
fn stamps_are_cut_to_what_the_column_holds() {
    let values = column(
        &["1960-01-01T00:00:00.999999Z"],
        SchemaType::TimestampWithZone,
    );
    let holds = Holds::Timestamp { fraction_digits: 3 };
    let holder = Holder {
        holds: &holds,
        declared: "datetime(3)",
        zones: NOWHERE,
        fraction: Fraction::Cut,
    };
    let converted = convert(&values, SchemaType::TimestampWithZone, holder).unwrap();
    assert_eq!(converted.faults, []);
    assert_eq!(
        texts_of(&converted.values, Kind::Timestamp).unwrap().get(0),
        Some("1960-01-01 00:00:00.999")
    );
}

#[test]
fn uuids_and_json_stay_what_they_are() {
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    fits(SchemaType::Uuid, &Holds::Uuid, &[(uuid, uuid)]);
    fits(SchemaType::Uuid, &ANY_TEXT, &[(uuid, uuid)]);
    fits(SchemaType::Json, &Holds::Json, &[("[1]", "[1]")]);
    fits(SchemaType::Json, &ANY_TEXT, &[("[1]", "[1]")]);
    never_fits(SchemaType::Uuid, &[Holds::Json, INT4]);
    never_fits(SchemaType::Json, &[Holds::Uuid]);
    let narrow = Holds::Text {
        limit: Some(TextLimit::Characters(32)),
        repertoire: Repertoire::Ascii,
    };
    let misfit = convert_in(NOWHERE, &[], SchemaType::Uuid, &narrow).unwrap_err();
    assert_eq!(
        misfit,
        Misfit::TooNarrow("UUID takes 36 characters, the column holds 32".to_owned())
    );
}

#[test]
fn null_fits_every_conversion() {
    let types = [
        TEXT,
        BIGINT,
        DECIMAL,
        REAL,
        DOUBLE,
        SchemaType::Boolean,
        SchemaType::Date,
        SchemaType::Timestamp,
    ];
    let holds = [
        ANY_TEXT,
        INT4,
        BIGINT_UNSIGNED,
        NUMERIC_5_2,
        Holds::Float { bits: 32 },
        Holds::Float { bits: 64 },
    ];
    for from in types {
        let nothing = Series::full_null("value".into(), 3, &from.kind().representation());
        for holds in &holds {
            let holder = Holder {
                holds,
                declared: "the column",
                zones: BERLIN,
                fraction: Fraction::Exact,
            };
            if let Ok(converted) = convert(&nothing, from, holder) {
                assert_eq!(
                    (converted.values.null_count(), converted.faults.len()),
                    (3, 0),
                    "{from} to {holds:?}"
                );
            }
        }
    }
}

proptest! {
    /// What a float column is given reads back as the number it was given for.
    #[test]
    fn decimals_in_floats_read_back(text in "-?[1-9][0-9]{0,19}(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?", bits in prop_oneof![Just(32_u8), Just(64)]) {
        let held = outcome(NOWHERE, &text, DECIMAL, &Holds::Float { bits });
        if let Ok(float) = &held {
            prop_assert_eq!(Decimal::parse(float).unwrap(), Decimal::parse(&text).unwrap());
        }
        let few_digits = Decimal::parse(&text).unwrap().significant_digits() <= if bits == 32 { 6 } else { 15 };
        if few_digits && !text.contains('e') {
            prop_assert!(held.is_ok());
        }
    }

    /// By its shortest text; a whole number of 64 bits SQLite keeps as such, however it is spelled.
    #[test]
    fn what_sqlite_keeps_as_a_float_reads_back(text in "-?[1-9][0-9]{0,19}(\\.[0-9]{1,10})?") {
        if outcome(NOWHERE, &text, DECIMAL, &Holds::DecimalAsFloat { size: None }).is_ok() {
            let float: f64 = text.parse().unwrap();
            let decimal = Decimal::parse(&text).unwrap();
            let whole = decimal.to_i128().and_then(|number| i64::try_from(number).ok());
            let read_back = whole.map_or_else(|| format!("{float:e}"), |whole| whole.to_string());
            prop_assert_eq!(Decimal::parse(&read_back).unwrap(), decimal);
        }
    }

    #[test]
    fn whole_numbers_of_many_digits_fit_where_53_binary_digits_are_enough(number in (1_i64 << 53)..(1 << 54)) {
        let held = outcome(NOWHERE, &number.to_string(), DECIMAL, &Holds::DecimalAsFloat { size: None });
        prop_assert_eq!(held.is_ok(), number % 2 == 0);
    }

    #[test]
    fn floats_as_decimals_read_back(float in proptest::num::f64::NORMAL) {
        let values = Series::new("value".into(), [float]);
        let (texts, faults) = decimal_texts(&values, DOUBLE).unwrap();
        prop_assert_eq!(faults, []);
        let text = texts.get(0).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap(), float);
    }
}
