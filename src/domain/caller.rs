//! Callers: programs that may ask for records to be written in real time, and which.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::connection::Secret;

/// By what a caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// `Authorization: Bearer …`.
    Token(Secret),
    /// A signature of the body and the time, as alerts have it.
    Signature(Secret),
}

/// One `[http.callers.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) proof: Proof,
    /// `JOB.WRITE_BACK`, each.
    pub(crate) write_backs: Vec<String>,
    /// Columns of schemas; `None`: every one that is real time.
    pub(crate) fields: Option<Vec<String>>,
    /// Where in the caller's own screens a change may come from; `None`: anywhere.
    pub(crate) origins: Option<Vec<String>>,
}

/// What a caller may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotAllowed {
    WriteBack,
    Field(String),
    /// None was told, or another than may be.
    Origin(Option<String>),
}

impl Caller {
    pub(crate) fn may_write(&self, job: &str, write_back: &str) -> bool {
        let wanted = format!("{job}.{write_back}");
        self.write_backs.contains(&wanted)
    }

    /// Errors: what of a request is not for this caller, the first thing.
    pub(crate) fn expect_may<'a>(
        &self,
        job: &str,
        write_back: &str,
        columns: impl Iterator<Item = &'a str>,
        origin: Option<&str>,
    ) -> Result<(), NotAllowed> {
        if !self.may_write(job, write_back) {
            return Err(NotAllowed::WriteBack);
        }
        if let Some(origins) = &self.origins
            && !origin.is_some_and(|origin| origins.iter().any(|known| known == origin))
        {
            return Err(NotAllowed::Origin(origin.map(str::to_owned)));
        }
        let mut columns = columns.into_iter();
        let is_forbidden = |column: &&str| {
            let fields = self.fields.as_ref();
            fields.is_some_and(|fields| !fields.iter().any(|field| field == column))
        };
        match columns.find(is_forbidden) {
            Some(column) => Err(NotAllowed::Field(column.to_owned())),
            None => Ok(()),
        }
    }
}

/// Files of the certificate that requests are answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate and those that vouch for it, in PEM.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A project's `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) callers: BTreeMap<String, Caller>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal() -> Caller {
        Caller {
            name: "portal".to_owned(),
            proof: Proof::Token(Secret::new("t".to_owned())),
            write_backs: vec!["accounts.health".to_owned()],
            fields: Some(vec!["risk".to_owned()]),
            origins: Some(vec!["form".to_owned()]),
        }
    }

    #[test]
    fn a_caller_may_do_what_its_table_says_and_nothing_else() {
        let portal = portal();
        let may = |job, write_back, columns: &[&'static str], origin| {
            portal.expect_may(job, write_back, columns.iter().copied(), origin)
        };
        assert_eq!(may("accounts", "health", &["risk"], Some("form")), Ok(()));
        let other = may("accounts", "notes", &["risk"], Some("form"));
        assert_eq!(other, Err(NotAllowed::WriteBack));
        let dotted = may("accounts.health", "", &["risk"], Some("form"));
        assert_eq!(dotted, Err(NotAllowed::WriteBack));
        let field = may("accounts", "health", &["risk", "score"], Some("form"));
        assert_eq!(field, Err(NotAllowed::Field("score".to_owned())));
        let nowhere = may("accounts", "health", &["risk"], None);
        assert_eq!(nowhere, Err(NotAllowed::Origin(None)));
        let task = may("accounts", "health", &["risk"], Some("task"));
        assert_eq!(task, Err(NotAllowed::Origin(Some("task".to_owned()))));
    }
}
