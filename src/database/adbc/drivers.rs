//! What is known of drivers: which of their options keep values exact, how names are quoted, and
//! which have a better way. A driver that is not listed is used as it is; what it sends is judged
//! like any other source's.

use std::path::Path;

use crate::domain::connection::OptionValue;

/// One driver.
#[derive(Debug)]
pub(crate) struct KnownDriver {
    pub(crate) name: &'static str,
    /// Options of the database.
    pins: &'static [Pin],
    /// Options of each statement: they bound what is fetched ahead.
    pub(crate) statement: &'static [(&'static str, &'static str)],
    /// Around names that are not plain.
    pub(crate) quote: char,
    /// The kind of connection to take instead.
    pub(crate) instead: Option<&'static str>,
}

/// An option that must have a value, or should.
#[derive(Debug)]
struct Pin {
    option: &'static str,
    value: &'static str,
    /// What another value does to values of records; one that only loses what can be asked for says
    /// nothing.
    otherwise: Option<&'static str>,
}

/// The driver of databases that nothing is known of.
const UNKNOWN: KnownDriver = KnownDriver {
    name: "",
    pins: &[],
    statement: &[],
    quote: '"',
    instead: None,
};

const KNOWN: &[KnownDriver] = &[
    KnownDriver {
        name: "duckdb",
        // Without it UHUGEINT wraps (its greatest value arrives as -1), TIMETZ loses its offset,
        // and HUGEINT says that it has fewer digits than it has. Source:
        // <https://duckdb.org/docs/stable/configuration/overview>.
        pins: &[Pin {
            option: "arrow_lossless_conversion",
            value: "true",
            otherwise: Some("wraps large numbers and drops offsets in silence"),
        }],
        ..UNKNOWN
    },
    KnownDriver {
        name: "snowflake",
        // Source: <https://arrow.apache.org/adbc/current/driver/snowflake.html>.
        pins: &[
            Pin {
                option: "adbc.snowflake.sql.client_option.use_high_precision",
                value: "true",
                otherwise: Some("wraps numbers of more than eighteen digits in silence"),
            },
            // By default instants outside 1677 to 2262 wrap. `microseconds` cuts what is finer.
            Pin {
                option: "adbc.snowflake.sql.client_option.max_timestamp_precision",
                value: "nanoseconds_error_on_overflow",
                otherwise: None,
            },
        ],
        // The driver fetches two hundred batches of each of ten streams ahead, unless told
        // otherwise.
        statement: &[
            ("adbc.rpc.result_queue_size", "16"),
            ("adbc.snowflake.rpc.prefetch_concurrency", "2"),
        ],
        ..UNKNOWN
    },
    KnownDriver {
        name: "postgresql",
        // A batch of sixteen mebibytes is its usual size.
        statement: &[("adbc.postgresql.batch_size_hint_bytes", "1000000")],
        ..UNKNOWN
    },
    KnownDriver {
        name: "bigquery",
        quote: '`',
        ..UNKNOWN
    },
    KnownDriver {
        name: "databricks",
        quote: '`',
        ..UNKNOWN
    },
    KnownDriver {
        name: "spark",
        quote: '`',
        ..UNKNOWN
    },
    // It guesses a column's type from its first rows.
    KnownDriver {
        name: "sqlite",
        instead: Some("sqlite"),
        ..UNKNOWN
    },
    KnownDriver {
        name: "mysql",
        quote: '`',
        instead: Some("mysql"),
        ..UNKNOWN
    },
];

/// What is known of the driver of this name, or at this path.
pub(crate) fn known(driver: &str) -> &'static KnownDriver {
    let stem = Path::new(driver)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or(driver);
    let stem = stem.strip_prefix("lib").unwrap_or(stem);
    let name = stem.strip_prefix("adbc_driver_").unwrap_or(stem);
    KNOWN
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
        .unwrap_or(&UNKNOWN)
}

impl KnownDriver {
    /// The options with those that keep values exact.
    /// Errors: one that the user set so that values would be lost in silence.
    pub(crate) fn pinned(
        &self,
        mut options: Vec<(String, OptionValue)>,
    ) -> Result<Vec<(String, OptionValue)>, String> {
        for Pin {
            option,
            value,
            otherwise,
        } in self.pins
        {
            match (options.iter().find(|(name, _)| name == option), otherwise) {
                (None, _) => options.push((
                    (*option).to_owned(),
                    OptionValue::Plain((*value).to_owned()),
                )),
                (Some((_, given)), Some(otherwise)) if given.reveal() != *value => {
                    return Err(format!(
                        "option `{option}` is not `{value}`, which {otherwise}"
                    ));
                }
                (Some(_), _) => {}
            }
        }
        Ok(options)
    }

    /// A name as the database's SQL has it: a plain one as it is, for each database folds it in its
    /// own way.
    pub(crate) fn spelled(&self, name: &str) -> String {
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if begins
            && name
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        {
            return name.to_owned();
        }
        let quote = self.quote;
        format!(
            "{quote}{}{quote}",
            name.replace(quote, &format!("{quote}{quote}"))
        )
    }

    /// A dotted name.
    pub(crate) fn path(&self, parts: &[String]) -> String {
        parts
            .iter()
            .map(|part| self.spelled(part))
            .collect::<Vec<_>>()
            .join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str, value: &str) -> (String, OptionValue) {
        (name.to_owned(), OptionValue::Plain(value.to_owned()))
    }

    #[test]
    fn a_driver_is_known_by_its_name_and_by_its_library() {
        for driver in [
            "snowflake",
            "/opt/libadbc_driver_snowflake.so",
            "drivers/snowflake.toml",
            "Snowflake",
        ] {
            assert_eq!(known(driver).name, "snowflake", "{driver}");
        }
        assert_eq!(known("/opt/libduckdb.so").name, "duckdb");
        assert_eq!(known("trino").name, "");
    }

    #[test]
    fn what_would_lose_values_in_silence_is_refused() {
        let (option, precision) = (
            "adbc.snowflake.sql.client_option.use_high_precision",
            "adbc.snowflake.sql.client_option.max_timestamp_precision",
        );
        let snowflake = known("snowflake");
        let pinned = snowflake
            .pinned(vec![plain(precision, "microseconds")])
            .expect("a choice that cuts knowingly");
        assert_eq!(
            pinned,
            [plain(precision, "microseconds"), plain(option, "true")]
        );
        let refused = snowflake
            .pinned(vec![plain(option, "false")])
            .expect_err("wrapped numbers");
        assert!(
            refused.contains("is not `true`, which wraps numbers"),
            "{refused}"
        );
    }

    #[test]
    fn plain_names_are_folded_by_the_database_and_others_are_quoted() {
        let parts = ["Sales".to_owned(), "a \"b\"".to_owned(), "c`d".to_owned()];
        assert_eq!(
            known("duckdb").path(&parts),
            "Sales.\"a \"\"b\"\"\".\"c`d\""
        );
        assert_eq!(known("bigquery").path(&parts), "Sales.`a \"b\"`.`c``d`");
    }
}
