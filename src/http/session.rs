//! A web API as those who ask it see it: they say what they want and get an answer to it. Logging
//! in, renewing, waiting, pacing and the quota are seen to here; what an answer means for them, the
//! API's [`ApiManner`] says.

use std::io;
use std::time::Duration;

use chrono::Utc;
use tracing::{debug, warn};

use super::client::{Client, ClientSettings, Request, Response, SendError};
use super::meter::{CallMeter, Spent};
use super::pace::{Bound, Bucket, DELAY_ASKED_MAX, delays};
use super::quota::{Quota, Usage};
use super::tally::{self, CallTally};
use super::tokens::{Granted, Held, Keeper, LoginError, TokenFile};
use crate::domain::connection::Secret;
use crate::domain::error::SystemError;
use crate::domain::share::Percent;

/// What an answer means to whoever would ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is an answer to the request, be it a refusal.
    Answered,
    /// The token is dead; nothing was carried out.
    Renew,
    /// There are too many requests; nothing was carried out.
    Throttled {
        after: Option<Duration>,
        why: String,
    },
    /// Something broke that may pass; whether it is sure that nothing was carried out.
    Broken {
        undone: bool,
        tries_max: u32,
        why: String,
    },
    /// The account has no calls left.
    QuotaSpent { what: String, resumes: String },
    /// This user, program or version may not ask at all.
    Forbidden { what: String, hint: String },
}

/// What of an API everybody who asks it has to know.
pub(crate) trait ApiManner {
    /// Logs in; `refresh_token` is the one that took the place of what is configured.
    async fn log_in(
        &self,
        client: &Client,
        refresh_token: Option<&Secret>,
    ) -> Result<Granted, LoginError>;

    /// Turns what a log-in granted into what data calls take, where that is something else. By then
    /// a refresh token that works once is kept.
    async fn enter(&self, _client: &Client, granted: Granted) -> Result<Granted, LoginError> {
        Ok(granted)
    }

    /// The header in which a call carries its token.
    fn credentials(&self, token: &Secret) -> (&'static str, String) {
        ("Authorization", format!("Bearer {}", token.reveal()))
    }

    /// Whether a call goes where the host sends it on to, within its site.
    fn is_sent_on(&self) -> bool {
        false
    }

    /// What an answer tells of the account's calls.
    fn usage(&self, response: &Response) -> Option<Usage>;

    fn judge(&self, response: &Response) -> Judgement;

    /// How many requests at once the host recommends in an answer, if it does.
    fn recommended(&self, _response: &Response) -> Option<usize> {
        None
    }

    /// When calls are to be had again, in words, once the share of them is used up.
    fn resumes(&self) -> String;
}

/// What may be done about a request whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It is sent again: it only asks.
    Asks,
    /// It is sent again: carried out twice it leaves what it leaves once.
    SameTwice,
    /// It is sent again only if it is sure that it was not carried out.
    IfUndone,
}

/// What a session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionSettings {
    /// Its name, for messages.
    pub(crate) connection: String,
    pub(crate) client: ClientSettings,
    pub(crate) requests_per_second: Option<u32>,
    pub(crate) quota_share: Percent,
    /// Counts the calls, where the host does not tell of them.
    pub(crate) meter: Option<CallMeter>,
    /// Requests in flight.
    pub(crate) requests_max: usize,
    pub(crate) attempts_max: u32,
    pub(crate) token_file: Option<TokenFile>,
}

/// What all connections to one account share.
#[derive(Debug)]
pub(crate) struct Session<M> {
    settings: SessionSettings,
    pub(crate) manner: M,
    client: Client,
    keeper: Keeper,
    bucket: Bucket,
    bound: Bound,
    quota: Quota,
}

impl<M: ApiManner> Session<M> {
    /// Errors: the file of authorities is none.
    pub(crate) fn new(settings: SessionSettings, manner: M) -> Result<Self, SystemError> {
        let client = Client::new(&settings.client).map_err(|source| SystemError::Failed {
            connection: settings.connection.clone(),
            doing: "reading the authorities".to_owned(),
            source,
            hint: Some(format!(
                "check `ca_file` of `[connections.{}]`",
                settings.connection
            )),
        })?;
        Ok(Self {
            client: client.counted_of(&settings.connection),
            manner,
            keeper: Keeper::default(),
            bucket: Bucket::new(settings.requests_per_second),
            bound: Bound::new(settings.requests_max),
            quota: Quota::new(settings.quota_share),
            settings,
        })
    }

    pub(crate) fn connection(&self) -> &str {
        &self.settings.connection
    }

    /// Calls of the account as they were told last, and the share of them that may be used.
    pub(crate) fn usage(&self) -> (Option<Usage>, Percent) {
        let metered = self.settings.meter.as_ref().and_then(CallMeter::usage);
        (metered.or_else(|| self.quota.usage()), self.quota.share())
    }

    pub(crate) async fn is_logged_in(&self) -> bool {
        self.keeper.holds().await
    }

    /// Forgets the token, so that the next call logs in anew.
    pub(crate) async fn forget_token(&self) {
        self.keeper.forget().await;
    }

    /// Logs in, unless that is done.
    pub(crate) async fn log_in(&self) -> Result<Granted, SystemError> {
        Ok(self.token(None).await?.granted)
    }

    /// Asks, with the request's URL as a path of the API's host. An answer that refuses is an
    /// answer. Errors: of the request as a whole; where it may have been carried out, `Unanswered`,
    /// unless it only asks.
    pub(crate) async fn call(
        &self,
        request: Request,
        repeat: Repeat,
    ) -> Result<Response, SystemError> {
        let mut dead = None;
        let mut tries = 0;
        let mut throttled = Duration::ZERO;
        let mut delays = delays(self.settings.attempts_max);
        loop {
            tries += 1;
            let held = self.token(dead).await?;
            let (error, after) = match self.once(&request, &held).await? {
                Ok(response) => match self.manner.judge(&response) {
                    Judgement::Answered => {
                        self.bound.went_well();
                        return Ok(response);
                    }
                    Judgement::Renew if dead.is_none() => {
                        dead = Some(held.number);
                        continue;
                    }
                    Judgement::Throttled {
                        after: Some(asked), ..
                    } if throttled + asked <= DELAY_ASKED_MAX => {
                        // A host that says how long it is to be left alone is not tried in vain.
                        self.bound.was_too_much();
                        self.bucket.hold(asked);
                        throttled += asked;
                        tries -= 1;
                        tokio::time::sleep(asked).await;
                        continue;
                    }
                    judgement @ (Judgement::Renew
                    | Judgement::Throttled { .. }
                    | Judgement::Broken { .. }
                    | Judgement::QuotaSpent { .. }
                    | Judgement::Forbidden { .. }) => {
                        self.failed(judgement, response.status, repeat, tries)?
                    }
                },
                Err(error) => (self.unsent(error, repeat)?, None),
            };
            let Some(delay) = delays.next() else {
                return Err(error);
            };
            let delay = after.unwrap_or(delay).min(DELAY_ASKED_MAX);
            let waited = humantime::format_duration(delay).to_string();
            let cause = crate::domain::error::chain(&error).join(": ");
            debug!(connection = %self.settings.connection, error = %cause, waited, "waiting");
            tokio::time::sleep(delay).await;
        }
    }

    /// Sends a request once, as soon as it may be sent.
    async fn once(
        &self,
        request: &Request,
        held: &Held,
    ) -> Result<Result<Response, SendError>, SystemError> {
        let _place = self.bound.enter().await;
        self.bucket.turn().await;
        if let Some(what) = self.quota.spent(self.bound.in_flight()) {
            return Err(self.quota_spent(what, self.manner.resumes()));
        }
        self.count_call()?;
        let mut request = request.clone();
        request.url = format!("{}{}", held.granted.api_url, request.url);
        let (name, value) = self.manner.credentials(&held.granted.token);
        let request = request.with_header(name, value);
        let answer = match self.manner.is_sent_on() {
            true => self.client.send_on(request).await,
            false => self.client.send(request).await,
        };
        if let Some(usage) = answer
            .as_ref()
            .ok()
            .and_then(|response| self.manner.usage(response))
        {
            self.quota.note(usage);
            let worst = self.quota.usage().unwrap_or(usage);
            tally::note_usage(&self.settings.connection, worst);
        }
        if let Some(most) = answer
            .as_ref()
            .ok()
            .and_then(|response| self.manner.recommended(response))
        {
            self.bound.recommend(most);
        }
        Ok(answer)
    }

    /// Counts one more call, where the host does not tell of them.
    fn count_call(&self) -> Result<(), SystemError> {
        let Some(meter) = &self.settings.meter else {
            return Ok(());
        };
        match meter.take(self.quota.share(), Utc::now()) {
            Ok(Ok(usage)) => {
                tally::note_usage(&self.settings.connection, usage);
                Ok(())
            }
            Ok(Err(Spent { what, resumes })) => Err(self.quota_spent(what, resumes)),
            Err(error) => Err(self.uncounted(error)),
        }
    }

    fn uncounted(&self, error: io::Error) -> SystemError {
        SystemError::Failed {
            connection: self.settings.connection.clone(),
            doing: "counting its calls".to_owned(),
            source: error.into(),
            hint: Some("see that `.writeback/calls` can be written".to_owned()),
        }
    }

    async fn token(&self, dead: Option<u64>) -> Result<Held, SystemError> {
        let log_in = async || self.log_in_patiently().await;
        self.keeper.token(dead, log_in).await
    }

    async fn log_in_patiently(&self) -> Result<Granted, SystemError> {
        let mut delays = delays(self.settings.attempts_max);
        loop {
            let error = match self.log_in_counted().await? {
                Ok(granted) => return Ok(granted),
                Err(LoginError::Refused { what, hint }) => {
                    return Err(self.forbidden(what, hint));
                }
                Err(error @ LoginError::Passing(_)) => error,
            };
            let Some(delay) = delays.next() else {
                return Err(SystemError::Unavailable {
                    connection: self.settings.connection.clone(),
                    source: error.into(),
                });
            };
            debug!(connection = %self.settings.connection, error = %error, "waiting to log in");
            tokio::time::sleep(delay).await;
        }
    }

    /// Logs in, of the calls that there are.
    async fn log_in_counted(&self) -> Result<Result<Granted, LoginError>, SystemError> {
        let Some(meter) = &self.settings.meter else {
            return Ok(self.log_in_once().await);
        };
        let bar = meter.bars(self.quota.share(), Utc::now());
        if let Some(Spent { what, resumes }) = bar.map_err(|error| self.uncounted(error))? {
            return Err(self.quota_spent(what, resumes));
        }
        let tally = CallTally::begin();
        let logged_in = tally.over(self.log_in_once()).await;
        let noted = meter.note(tally.made(), Utc::now());
        noted.map_err(|error| self.uncounted(error))?;
        Ok(logged_in)
    }

    async fn log_in_once(&self) -> Result<Granted, LoginError> {
        let Some(file) = &self.settings.token_file else {
            let granted = self.manner.log_in(&self.client, None).await?;
            return self.manner.enter(&self.client, granted).await;
        };
        let kept = |error: std::io::Error| LoginError::Refused {
            what: format!("could not keep the refresh token: {error}"),
            hint: "see who else uses the folder `.writeback/tokens`, and that it can be written"
                .to_owned(),
        };
        let _turn = file.turn().await.map_err(kept)?;
        let refresh_token = file.read().map_err(kept)?;
        let granted = self
            .manner
            .log_in(&self.client, refresh_token.as_ref())
            .await?;
        if let Some(next) = &granted.refresh_token
            && Some(next) != refresh_token.as_ref()
        {
            file.write(next).map_err(kept)?;
            crate::fault::point("a refresh token was kept");
        }
        self.manner.enter(&self.client, granted).await
    }

    /// The error of an answer that is none, and how long the host asks to be left alone; the error
    /// at once, where waiting cannot help.
    fn failed(
        &self,
        judgement: Judgement,
        status: u16,
        repeat: Repeat,
        tries: u32,
    ) -> Result<(SystemError, Option<Duration>), SystemError> {
        let connection = self.settings.connection.clone();
        match judgement {
            Judgement::Throttled { after, why } => {
                self.bound.was_too_much();
                if let Some(after) = after {
                    // Whoever goes on asking makes it longer.
                    self.bucket.hold(after);
                }
                warn!(connection = %connection, status, "takes fewer requests at once");
                let source = why.into();
                Ok((SystemError::Throttled { connection, source }, after))
            }
            Judgement::Broken {
                undone,
                tries_max,
                why,
            } => {
                let error = self.broken(why, undone, repeat);
                let again = undone || repeat != Repeat::IfUndone;
                match again && tries < tries_max {
                    true => Ok((error, None)),
                    false => Err(error),
                }
            }
            Judgement::QuotaSpent { what, resumes } => Err(self.quota_spent(what, resumes)),
            Judgement::Forbidden { what, hint } => Err(self.forbidden(what, hint)),
            Judgement::Renew | Judgement::Answered => {
                let hint =
                    "see whether the user may use the API, and whether somebody ends its sessions";
                Err(self.forbidden(
                    "a token that was just granted is not taken".to_owned(),
                    hint.to_owned(),
                ))
            }
        }
    }

    fn broken(&self, why: String, undone: bool, repeat: Repeat) -> SystemError {
        let (connection, source) = (self.settings.connection.clone(), why.into());
        match undone || repeat == Repeat::Asks {
            true => SystemError::Unavailable { connection, source },
            false => SystemError::Unanswered { connection, source },
        }
    }

    /// The error of a request without an answer; at once, where sending it again cannot help or may
    /// do harm.
    fn unsent(&self, error: SendError, repeat: Repeat) -> Result<SystemError, SystemError> {
        let connection = self.settings.connection.clone();
        let why = error.to_string();
        match error {
            SendError::NotSent(_) => Ok(SystemError::Unavailable {
                connection,
                source: error.into(),
            }),
            SendError::Unproven { hint, .. } => Err(SystemError::Failed {
                connection,
                doing: "proving who answers".to_owned(),
                source: error.into(),
                hint: Some(hint.to_owned()),
            }),
            SendError::Unanswered(_) => {
                let error = self.broken(why, false, repeat);
                match repeat {
                    Repeat::Asks | Repeat::SameTwice => Ok(error),
                    Repeat::IfUndone => Err(error),
                }
            }
            SendError::TooLarge(_) if repeat != Repeat::Asks => {
                Err(self.broken(why, false, repeat))
            }
            SendError::TooLarge(_) | SendError::Malformed(_) => Err(SystemError::Failed {
                connection,
                doing: "asking".to_owned(),
                source: error.into(),
                hint: None,
            }),
        }
    }

    fn quota_spent(&self, what: String, resumes: String) -> SystemError {
        warn!(connection = %self.settings.connection, at = %Utc::now(), "no more calls: {what}");
        SystemError::QuotaSpent {
            connection: self.settings.connection.clone(),
            what,
            resumes,
        }
    }

    fn forbidden(&self, what: String, hint: String) -> SystemError {
        SystemError::Forbidden {
            connection: self.settings.connection.clone(),
            source: what.into(),
            hint,
        }
    }
}
