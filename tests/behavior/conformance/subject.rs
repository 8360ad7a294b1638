//! The destinations: their words for the table's columns, and what each of them cannot do.

use super::Row;
use crate::harness::Server;

/// A destination: a column of the table.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What a job calls the table or object.
    pub(super) object: &'static str,
    /// What the table's columns are called here.
    columns: &'static [(&'static str, &'static str)],
    /// What a row cannot be created without, as lines of a job.
    pub(super) new: &'static str,
    /// How the destination refuses a score above 100, in its own words.
    pub(super) refusal: &'static str,
    pub(super) owners: Option<Owners>,
    pub(super) choice: Choice,
    /// How the members `a`, `b` and `c` of a list are written, and how they are kept.
    pub(super) members: Option<[(&'static str, &'static str); 3]>,
    /// Changes of state behind which the program dies, one after the other.
    pub(super) deaths: &'static [&'static str],
    instead: &'static [(Row, Instead)],
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one of each destination, for good"
)]
pub(super) enum Kind {
    Database(Server),
    /// A file that is reached through DuckDB's driver.
    DuckDb,
    Service(Service),
}

/// A web API and its practice.
pub(super) struct Service {
    pub(super) kind: &'static str,
    /// Settings of its connection.
    pub(super) settings: &'static str,
    /// The account of somebody else.
    pub(super) stranger: &'static str,
    /// Kinds of calls that tell whose the account is.
    pub(super) asks_who: &'static [&'static str],
    /// What stands in `practice.toml`.
    pub(super) rules: &'static str,
    /// The file of those who may own a record.
    pub(super) people: &'static str,
    pub(super) id_column: &'static str,
    /// The id of the row of a number.
    pub(super) id: fn(usize) -> String,
    /// Further columns that a record has, and what they hold.
    pub(super) further: (&'static str, &'static str),
    /// Where a record's values are in the state of the practice.
    pub(super) path: &'static str,
    /// Whether a record is deleted.
    pub(super) gone: &'static str,
    /// What of a record changes with each write, as further arguments of `json_set`.
    pub(super) version: &'static str,
    /// What `practice.toml` and the connection say where there are few calls.
    pub(super) scarce: (&'static str, &'static str),
    pub(super) live: Live,
    pub(super) faults: Faults,
}

/// Faults of a practice, a run among each.
pub(super) struct Faults {
    pub(super) busy: &'static [&'static str],
    pub(super) session: &'static [&'static str],
    pub(super) broken: &'static [&'static str],
    /// Answers to creates are lost.
    pub(super) lost: &'static str,
}

/// Words of a column that takes only some.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub(super) misspelt: &'static str,
    pub(super) nearest: &'static str,
    pub(super) other: &'static str,
}

/// A connection that logs in, with secrets of the environment.
pub(super) struct Live {
    /// What `practice.toml` says of who may log in.
    pub(super) rules: &'static str,
    /// Settings of the connection, in which `URL` is where the practice is.
    pub(super) settings: &'static str,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// The fault by which a token dies at work.
    pub(super) expiring: &'static str,
    /// What the practice calls its tokens.
    pub(super) tokens: &'static str,
}

/// Who may own a row.
#[derive(Clone, Copy)]
pub(super) struct Owners {
    /// As a field names them by their address.
    pub(super) refers_to: &'static str,
    /// Id and address of two of them.
    pub(super) known: [(&'static str, &'static str); 2],
}

/// What a destination cannot do, and what the program does instead.
pub(super) struct Instead {
    pub(super) sentence: &'static str,
    /// What the program says when it is asked for, and its exit code.
    pub(super) said: &'static str,
    pub(super) code: i32,
}

impl Instead {
    /// Refused before anything is written.
    const fn refused(sentence: &'static str, said: &'static str) -> Self {
        Self {
            sentence,
            said,
            code: 2,
        }
    }
}

pub(super) static ALL: [&Subject; 8] = [
    &POSTGRESQL,
    &MARIADB,
    &SQLITE,
    &DUCKDB,
    &SALESFORCE,
    &HUBSPOT,
    &DATAVERSE,
    &BULLHORN,
];

impl Subject {
    pub(super) fn instead(&self, row: Row) -> Option<&Instead> {
        let found = self.instead.iter().find(|(of, _)| *of == row);
        found.map(|(_, instead)| instead)
    }

    pub(super) fn column(&self, name: &str) -> &'static str {
        let found = self.columns.iter().find(|(of, _)| *of == name);
        let (_, column) = found.unwrap_or_else(|| panic!("no `{name}` in {}", self.name));
        column
    }

    /// A value as the table tells it that the destination tells as `text`.
    pub(super) fn told(&self, column: &str, text: &str) -> String {
        match column {
            "score" if !text.is_empty() => {
                let number: f64 = text.parse().expect("a number");
                number.to_string()
            }
            "risk" if self.numbers_risks() && !text.is_empty() => {
                let known = RISKS.iter().find(|(number, _)| *number == text);
                known.expect("a choice").1.to_owned()
            }
            // Dataverse keeps the table along.
            "owner" if text.starts_with('{') => {
                let row: serde_json::Value = serde_json::from_str(text).expect("JSON");
                row["id"].as_str().expect("an id").to_owned()
            }
            "members" => {
                let known = self.members.iter().flatten();
                let mut letters: Vec<&str> = known
                    .zip(["a", "b", "c"])
                    .filter(|((_, kept), _)| text.split([',', ';']).any(|one| one == *kept))
                    .map(|(_, letter)| letter)
                    .collect();
                letters.sort_unstable();
                letters.join("+")
            }
            _ => text.to_owned(),
        }
    }

    /// A value of the table as an SQL literal of what the practice keeps.
    pub(super) fn stored(&self, column: &str, value: &str) -> String {
        match column {
            "score" if self.name != "HubSpot" => value.to_owned(),
            "risk" if self.numbers_risks() => {
                let known = RISKS.iter().find(|(_, word)| *word == value);
                known.expect("a choice").0.to_owned()
            }
            _ => format!("'{value}'"),
        }
    }

    fn numbers_risks(&self) -> bool {
        self.name == "Dataverse"
    }

    /// Members of a list in the destination's words: `a+b`.
    pub(super) fn members(&self, letters: &str) -> String {
        let known = self.members.expect("a list");
        let word = |letter: &str| match letter {
            "a" => known[0].0,
            "b" => known[1].0,
            _ => known[2].0,
        };
        let words: Vec<&str> = letters.split('+').map(word).collect();
        words.join(";")
    }
}

impl Service {
    /// Where the practice keeps what it holds.
    pub(super) fn state(&self) -> &'static str {
        ".writeback/practice/crm.db"
    }

    pub(super) fn value(&self, field: &str) -> String {
        format!("json_extract(body, '{}{field}')", self.path)
    }
}

/// Choices that Dataverse keeps by their numbers.
const RISKS: [(&str, &str); 3] = [
    ("100000000", "low"),
    ("100000001", "medium"),
    ("100000002", "high"),
];

const OF_DATABASES: &[(&str, &str)] = &[
    ("id", "id"),
    ("score", "score"),
    ("risk", "risk"),
    ("note", "note"),
    ("shared", "shared"),
    ("part", "part"),
    ("stamp", "stamp"),
    ("owner", "owner"),
    ("computed", "band"),
    ("choice", "choice"),
    ("members", "note"),
];

const CHOICE: Choice = Choice {
    misspelt: "hihg",
    nearest: "high",
    other: "low",
};

const OWNERS: Owners = Owners {
    refers_to: "owners.email",
    known: [("1", "ada@example.com"), ("2", "ben@example.com")],
};

const DATABASE_DEATHS: &[&str] = &[
    "1 before-images kept",
    "1 record a commit in",
    "1 a batch committed",
];

const SERVICE_DEATHS: &[&str] = &[
    "1 an intent recorded",
    "1 a request answered",
    "1 record a commit in",
];

const NO_LISTS: (Row, Instead) = (
    Row::Lists,
    Instead::refused(
        "a column holds one value: `check` refuses `list`",
        "`list` is of fields of several members",
    ),
);

const NOT_PINNED: (Row, Instead) = (
    Row::Pinned,
    Instead::refused(
        "the connection names its one database: `check` refuses `account`",
        "`account`",
    ),
);

const NOT_COUNTED: (Row, Instead) = (
    Row::Quota,
    Instead::refused(
        "calls of it are not counted: `check` refuses `quota_share`",
        "`quota_share`",
    ),
);

const NOT_DESCRIBED: (Row, Instead) = (
    Row::Described,
    Instead::refused(
        "there is nothing to rehearse against: `describe` refuses",
        "`writeback schema",
    ),
);

const NO_ROLLBACK: (Row, Instead) = (
    Row::OneRecordRolledBack,
    Instead::refused(
        "there is no transaction: `--rollback` is refused before anything is written",
        "a web API has no transaction that could be rolled back",
    ),
);

const NO_JOURNAL: (Row, Instead) = (
    Row::JournalTable,
    Instead::refused(
        "there is no transaction: `check` refuses `journal_table`; `journal` and \
                   `history` tell the same from the ledger",
        "it has no transaction in which a record and its line of the journal stand or fall \
               together",
    ),
);

const NO_PASSWORD: (Row, Instead) = (
    Row::Secrets,
    Instead::refused(
        "a file takes no password: `password` is refused",
        "`password`",
    ),
);

const NO_ANSWERS: (Row, Instead) = (
    Row::AnswerLost,
    Instead::refused(
        "a file gives no answers that could be lost: `host` is refused",
        "`host`",
    ),
);

const NO_SESSION: (Row, Instead) = (
    Row::SessionEnded,
    Instead::refused("nobody logs in to a file: `user` is refused", "`user`"),
);

const NO_NETWORK: (Row, Instead) = (
    Row::BrokenAnswers,
    Instead::refused("no network leads to a file: `port` is refused", "`port`"),
);

/// What databases have in common; a name and a kind of its own each.
const DATABASE: Subject = Subject {
    name: "PostgreSQL",
    kind: Kind::Database(Server::Postgres),
    object: "accounts",
    columns: OF_DATABASES,
    new: "",
    refusal: "score_limit",
    owners: Some(OWNERS),
    choice: CHOICE,
    members: None,
    deaths: DATABASE_DEATHS,
    instead: &[NO_LISTS, NOT_PINNED, NOT_COUNTED, NOT_DESCRIBED],
};

pub(super) static POSTGRESQL: Subject = DATABASE;

pub(super) static MARIADB: Subject = Subject {
    name: "MariaDB",
    kind: Kind::Database(Server::MariaDb),
    ..DATABASE
};

pub(super) static SQLITE: Subject = Subject {
    name: "SQLite",
    kind: Kind::Database(Server::Sqlite),
    instead: &[
        NO_LISTS,
        NOT_PINNED,
        NOT_COUNTED,
        (
            Row::Choices,
            Instead {
                sentence: "it has no such columns: what a constraint refuses rejects its record, in SQLite's words",
                said: "CHECK constraint failed",
                code: 1,
            },
        ),
        NO_PASSWORD,
        NOT_DESCRIBED,
        NO_ANSWERS,
        NO_SESSION,
        NO_NETWORK,
    ],
    ..DATABASE
};

pub(super) static DUCKDB: Subject = Subject {
    name: "DuckDB",
    kind: Kind::DuckDb,
    refusal: "CHECK constraint failed on table accounts with expression CHECK((score <= 100))",
    instead: &[
        NO_LISTS,
        NOT_PINNED,
        NOT_COUNTED,
        NO_PASSWORD,
        NOT_DESCRIBED,
        NO_ANSWERS,
        NO_SESSION,
        NO_NETWORK,
    ],
    ..DATABASE
};

pub(super) static SALESFORCE: Subject = Subject {
    name: "Salesforce",
    kind: Kind::Service(Service {
        kind: "salesforce",
        settings: "",
        stranger: "00D5g000004XyZ1EAC",
        asks_who: &["token", "identity"],
        rules: "[[refuse]]\nobject = 'Account'\nwhen = 'Health_Score__c > 100'\n\
                message = 'A health score lies between 0 and 100.'\nfields = ['Health_Score__c']\n",
        people: "User.csv",
        id_column: "Id",
        id: |number| format!("001000000000A{number:02}"),
        further: ("Name", "One"),
        path: "$.",
        gone: "json_extract(body, '$.IsDeleted')",
        version: "",
        scarce: ("[org]\ndaily_calls = 10\n", "quota_share = '10 %'"),
        live: Live {
            rules: "[[app]]\nclient_id = 'app'\nclient_secret = 'canary-7f'\n",
            settings: "login_url = 'URL'\nauth = { flow = 'client_credentials', \
                       client_id = 'app', client_secret = { env = 'SECRET' } }",
            environment: &[("SECRET", "canary-7f")],
            expiring: "expire=@3",
            tokens: "_session",
        },
        faults: Faults {
            busy: &["concurrent=@3,lock=@4,503=@5"],
            session: &["expire=@2@5"],
            broken: &[
                "drop_before=@2,cut_json=@4,drop_after=@5",
                "500=@3,login_page=@4,502=@5",
                "seed=3,short_page=50%",
            ],
            lost: "seed=11,drop_after=20%",
        },
    }),
    object: "Account",
    columns: &[
        ("id", "Customer_Id__c"),
        ("score", "Health_Score__c"),
        ("risk", "Churn_Risk__c"),
        ("note", "Health_Note__c"),
        ("shared", "Legacy_Id__c"),
        ("part", "Site"),
        ("stamp", "Scored_At__c"),
        ("members", "Interests__c"),
        ("owner", "OwnerId"),
        ("choice", "Churn_Risk__c"),
        ("computed", "Health_Band__c"),
    ],
    new: "Name = { string = 'New' }\n",
    refusal: "FIELD_CUSTOM_VALIDATION_EXCEPTION: A health score lies between 0 and 100.",
    owners: Some(Owners {
        refers_to: "User.Email",
        known: [
            ("005Hs0000000011IAA", "anna.kowalska@example.com"),
            ("005Hs0000000048IAA", "f.haddad@example.com"),
        ],
    }),
    choice: CHOICE,
    members: Some([
        ("Analytics", "Analytics"),
        ("Security", "Security"),
        ("Training", "Training"),
    ]),
    deaths: SERVICE_DEATHS,
    instead: &[NO_ROLLBACK, NO_JOURNAL],
};

pub(super) static HUBSPOT: Subject = Subject {
    name: "HubSpot",
    kind: Kind::Service(Service {
        kind: "hubspot",
        settings: "",
        stranger: "4711",
        asks_who: &["account"],
        rules: "[[rule]]\nobject = 'companies'\nkind = 'max'\nproperty = 'health_score'\nmax = 100\n",
        people: "owners.csv",
        id_column: "hs_object_id",
        id: |number| (100 + number).to_string(),
        further: ("name", "One"),
        path: "$.properties.",
        gone: "json_extract(body, '$.archived')",
        version: "",
        scarce: ("[portal]\ndaily_calls = 20\n", "quota_share = '10 %'"),
        live: Live {
            rules: "[[app]]\nclient_id = 'app'\nclient_secret = 'canary-7f'\n\
                    refresh_token = 'canary-8e'\nrotate = true\n",
            settings: "login_url = 'URL'\naccount = '24281934'\nauth = { flow = 'refresh_token', \
                       client_id = 'app', client_secret = { env = 'SECRET' }, \
                       refresh_token = { env = 'WORD' } }",
            environment: &[("SECRET", "canary-7f"), ("WORD", "canary-8e")],
            expiring: "expire=@3",
            tokens: "_token",
        },
        faults: Faults {
            busy: &["concurrent:read=@1,too_long:update=@1,lock:update=@2"],
            session: &["expire=@2@5"],
            broken: &[
                "drop_before=@2,cut_json=@3,drop_after:update=@1",
                "500=@3,unavailable=@4,bare_error=@5,503=@6",
                "short_page:update=@1,short_page:read=@1,login_page=@4",
            ],
            lost: "seed=11,drop_after=20%",
        },
    }),
    object: "companies",
    columns: &[
        ("id", "account_id"),
        ("score", "health_score"),
        ("risk", "churn_risk"),
        ("note", "health_note"),
        ("shared", "domain"),
        ("part", "city"),
        ("stamp", "scored_at"),
        ("members", "interests"),
        ("owner", "hubspot_owner_id"),
        ("choice", "churn_risk"),
        ("computed", "days_to_close"),
    ],
    new: "name = { string = 'New' }\n",
    refusal: "INVALID_MAX: health_score may be 100 at the most",
    owners: Some(Owners {
        refers_to: "owners.email",
        known: [
            ("41629018", "anna.kowalska@example.com"),
            ("41629035", "f.haddad@example.com"),
        ],
    }),
    choice: CHOICE,
    members: Some([
        ("analytics", "analytics"),
        ("security", "security"),
        ("training", "training"),
    ]),
    deaths: SERVICE_DEATHS,
    instead: &[NO_ROLLBACK, NO_JOURNAL],
};

pub(super) static DATAVERSE: Subject = Subject {
    name: "Dataverse",
    kind: Kind::Service(Service {
        kind: "dataverse",
        settings: "",
        stranger: "11111111-0000-4000-8000-000000000001",
        asks_who: &["token", "who_am_i"],
        rules: "[[refuse]]\ntable = 'account'\nwhen = 'cr_healthscore gt 100'\n\
                message = 'A health score lies between 0 and 100.'\n",
        people: "systemuser.csv",
        id_column: "accountid",
        id: |number| format!("00000000-0000-4000-8000-000000000a{number:02}"),
        further: ("name", "One"),
        path: "$.",
        gone: "0",
        version: ", '$.\"@version\"', 900",
        scarce: ("", ""),
        live: Live {
            rules: "[[app]]\nclient_id = 'app'\nclient_secret = 'canary-7f'\n",
            settings: "login_url = 'URL'\napi_url = 'URL'\nauth = { flow = 'client_credentials', \
                       tenant = 'practice.example', client_id = 'app', \
                       client_secret = { env = 'SECRET' } }",
            environment: &[("SECRET", "canary-7f")],
            expiring: "expire=@3",
            tokens: "_session",
        },
        faults: Faults {
            busy: &[
                "concurrent=@9,too_long=@11,quota=@13",
                "lock:update_multiple=@1",
            ],
            session: &["expire=@4@9"],
            broken: &[
                "drop_before=@3,cut_json=@6,500=@8",
                "500:update_multiple=@1,login_page=@6,503=@8",
                "drop_after:update_multiple=@1,bare_error=@7",
            ],
            lost: "seed=11,drop_after=20%,drop_in:batch=@2@5",
        },
    }),
    object: "account",
    columns: &[
        ("id", "cr_customerid"),
        ("score", "cr_healthscore"),
        ("risk", "cr_churnrisk"),
        ("note", "cr_healthnote"),
        ("shared", "accountnumber"),
        ("part", "cr_legacyid"),
        ("stamp", "cr_scoredat"),
        ("members", "cr_interests"),
        ("owner", "cr_manager"),
        ("choice", "cr_churnrisk"),
        ("computed", "cr_healthband"),
    ],
    new: "name = { string = 'New' }\n",
    refusal: "0x80040265: A health score lies between 0 and 100.",
    owners: Some(Owners {
        refers_to: "systemuser.internalemailaddress",
        known: [
            (
                "05ea9d5b-4ecd-568e-944c-aa49f9c651d8",
                "anna.kowalska@example.com",
            ),
            (
                "a57da4d7-89a9-5a6f-94dc-452e1408ddd0",
                "f.haddad@example.com",
            ),
        ],
    }),
    choice: CHOICE,
    members: Some([("Analytics", "1"), ("Security", "4"), ("Training", "5")]),
    deaths: SERVICE_DEATHS,
    instead: &[
        NO_ROLLBACK,
        (
            Row::Quota,
            Instead::refused(
                "the day's calls are not told: `check` refuses `quota_share`",
                "`quota_share`",
            ),
        ),
        NO_JOURNAL,
    ],
};

pub(super) static BULLHORN: Subject = Subject {
    name: "Bullhorn",
    kind: Kind::Service(Service {
        kind: "bullhorn",
        settings: "timezone = 'America/Chicago'\n",
        stranger: "54321",
        asks_who: &["authorize", "token", "login_info", "login", "other"],
        rules: "[corporation]\ncalls_per_minute = 0\n[[refuse]]\nentity = 'Candidate'\n\
                when = 'customFloat3 > 100'\nproperty = 'customFloat3'\n\
                message = 'A score lies between 0 and 100.'\n[[ignore]]\nentity = 'Candidate'\n\
                property = 'occupation'\nsilently = true\n",
        people: "CorporateUser.csv",
        id_column: "id",
        id: |number| (9 + number).to_string(),
        further: ("name,status,isDeleted", "One,Active,false"),
        path: "$.held.",
        gone: "json_extract(body, '$.held.isDeleted')",
        version: "",
        scarce: ("", "quota = '20 per month'\nquota_share = '30 %'"),
        live: Live {
            rules: "[api_user]\nclient_id = 'app'\nclient_secret = 'canary-7f'\n\
                    username = 'api'\npassword = 'canary-8e'\n",
            settings: "login_url = 'URL'\naccount = '12345'\nrequests_per_second = 1000\n\
                       auth = { flow = 'password', client_id = 'app', \
                       client_secret = { env = 'SECRET' }, user = 'api', \
                       password = { env = 'WORD' } }",
            environment: &[("SECRET", "canary-7f"), ("WORD", "canary-8e")],
            expiring: "expire:update=@1",
            tokens: "_session",
        },
        faults: Faults {
            busy: &["concurrent:update=@1@2,unavailable:search=@1,too_long:entity=@1"],
            session: &["expire=@7@12"],
            broken: &[
                "drop_after:update=@1,cut_json:update=@2,503=@6@8,502=@7",
                "500:update=@1,drop_before=@3@9",
                "login_page:search=@1,moved:login_info=@1,moved:update=@2,bare_error:update=@1",
            ],
            lost: "seed=11,drop_after:create=20%,500_after:create=@3,drop_in:create=@7,\
                   drop_before:create=@9",
        },
    }),
    object: "Candidate",
    columns: &[
        ("id", "externalID"),
        ("score", "customFloat3"),
        ("risk", "customText2"),
        ("note", "customText11"),
        ("shared", "customText3"),
        ("part", "customText6"),
        ("stamp", "dateNextCall"),
        ("members", "primarySkills"),
        ("owner", "owner"),
        ("choice", "status"),
        ("computed", "occupation"),
    ],
    new: "name = { string = 'New' }\nstatus = { string = 'New Lead' }\n",
    refusal: "INVALID_VALUE: A score lies between 0 and 100.",
    owners: Some(Owners {
        refers_to: "CorporateUser.email",
        known: [
            ("2", "ada.brook@practice.example"),
            ("3", "ben.castle@practice.example"),
        ],
    }),
    choice: Choice {
        misspelt: "Actve",
        nearest: "Active",
        other: "New Lead",
    },
    members: None,
    deaths: SERVICE_DEATHS,
    instead: &[
        NO_ROLLBACK,
        NO_JOURNAL,
        (
            Row::Lists,
            Instead::refused(
                "`check` refuses `list`: what the source holds takes the place of what \
                           is there",
                "`list` is of fields of several members",
            ),
        ),
        (
            Row::ComputedColumn,
            Instead {
                sentence: "its descriptions do not tell: records are read back, and one whose field \
                           was left as it was is rejected",
                said: "answered with success, and `occupation` was left as it was",
                code: 1,
            },
        ),
    ],
};
