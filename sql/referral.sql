-- Referrals, one row each: somebody proposes somebody for a job.
CREATE TABLE referrals (
    referral_id  VARCHAR(18)  PRIMARY KEY,
    agency       VARCHAR(60),            -- whose it is, as the agencies' files call themselves
    first_name   VARCHAR(50),
    last_name    VARCHAR(50)  NOT NULL,
    email        VARCHAR(100),
    mobile       VARCHAR(30),
    phone        VARCHAR(30),
    job_id       INTEGER      NOT NULL,
    job_title    VARCHAR(100),
    referrer     VARCHAR(100),
    referred_on  DATE         NOT NULL
);
