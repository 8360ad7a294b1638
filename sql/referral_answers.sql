-- What referred people were asked: the referral, the question, its words, and what they answered.
CREATE TABLE answers (
    referral_id  VARCHAR(18),
    question_id  VARCHAR(30),
    question     VARCHAR(200),
    answer       VARCHAR(200),
    PRIMARY KEY (referral_id, question_id)
);
