-- The person graph. Every number that says where in the log something happened is a *place*: the log's number (5 bits)
-- and the event's sequence (41 bits), so that places of one log follow those of the log before it. A person's number is
-- the place of minting and an ordinal (16 bits); `person.py` makes the id of it that destinations see.
--
-- Nothing is re-keyed: an id keeps the person that it began with (`origin`), and where two people are found to be one,
-- `merges` says from which place on the loser is the winner. So the person at any place of the past can be told.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- The logs that were read, and how far: committed together with what was learned from them.
CREATE TABLE logs (
    log INTEGER PRIMARY KEY,                -- 0, 1, ...
    log_id TEXT NOT NULL UNIQUE,
    cursor INTEGER NOT NULL                 -- last sequence applied
) STRICT;

-- The rules, and from which place on they hold.
CREATE TABLE rules (
    version INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    json TEXT NOT NULL
) STRICT;

-- Words that occur in every row: types of ids, names of sources.
CREATE TABLE words (
    word INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    place INTEGER NOT NULL                  -- of the event that it came with
) STRICT;

CREATE TABLE ids (
    id INTEGER PRIMARY KEY,                 -- keyed digest of type and value; the next free number where two collide
    type INTEGER NOT NULL,                  -- words.word
    value ANY NOT NULL,                     -- text as normalised; a UUID in canonical form is its 16 bytes
    origin INTEGER NOT NULL,                -- the person it was given first, or by the last split
    first_ms INTEGER NOT NULL,              -- received time of the first event with it
    last_day INTEGER NOT NULL,              -- days since 1970 of the last one
    users INTEGER NOT NULL DEFAULT 0,       -- different unique ids it was seen with
    shared INTEGER                          -- place from which on it is shared
) STRICT;
CREATE INDEX members ON ids (origin);

-- What an id's origin was before a split gave it another.
CREATE TABLE former (
    id INTEGER NOT NULL,
    until INTEGER NOT NULL,                 -- place of the split; before it, the origin was this
    origin INTEGER NOT NULL,
    PRIMARY KEY (id, until)
) STRICT, WITHOUT ROWID;

-- One row per pair of ids that were seen together, written when it is decided whether that joins them: with the first
-- event, and with a later one that decides anew (an alias after a mere sighting, a pair that an operator allows again).
CREATE TABLE edges (
    a INTEGER NOT NULL,                     -- ids.id: by which the event was attributed
    b INTEGER NOT NULL,                     -- ids.id
    place INTEGER NOT NULL,                 -- of the event that decided
    received_ms INTEGER NOT NULL,
    age_ms INTEGER NOT NULL,                -- received time minus the event's own time
    source INTEGER NOT NULL,                -- words.word
    message ANY NOT NULL,                   -- messageId; a UUID is its 16 bytes
    version INTEGER NOT NULL,               -- rules.version
    explicit INTEGER NOT NULL,              -- 1: the client itself (alias, merge) or an operator said so
    state INTEGER NOT NULL,                 -- 0: holds; else why it does not (`stitch.py`)
    PRIMARY KEY (a, b)
) STRICT, WITHOUT ROWID;
CREATE INDEX left_out ON edges (b) WHERE state <> 0;

-- From `merge` on (a place and an ordinal, as a person's number) the loser is the winner, until a split at `until`.
CREATE TABLE merges (
    merge INTEGER PRIMARY KEY,
    loser INTEGER NOT NULL,
    winner INTEGER NOT NULL,
    a INTEGER NOT NULL,                     -- the edge that did it; 0: a split left the loser without ids
    b INTEGER NOT NULL,
    until INTEGER                           -- place from which on it does not hold
) STRICT;
CREATE INDEX merges_of_loser ON merges (loser);
CREATE INDEX merges_of_winner ON merges (winner) WHERE until IS NULL;

-- At `split` (numbered with the merges) these ids left the former person.
CREATE TABLE splits (
    split INTEGER PRIMARY KEY,
    person INTEGER NOT NULL,
    former INTEGER NOT NULL
) STRICT;

-- Pairs of ids that never belong to one person, whatever is seen.
CREATE TABLE forbidden (
    a INTEGER NOT NULL,
    b INTEGER NOT NULL,                     -- above a
    PRIMARY KEY (a, b)
) STRICT, WITHOUT ROWID;

-- What identified people said of themselves, by the id that they were attributed to: JSON, trait -> newest value.
CREATE TABLE traits (
    id INTEGER PRIMARY KEY,                 -- ids.id
    traits TEXT NOT NULL
) STRICT;

-- Two people who may be one, by an id of each: for somebody to decide, nothing follows from it. A number is never given
-- again, so that nobody accepts another pair than the one that was shown.
CREATE TABLE suggestions (
    suggestion INTEGER PRIMARY KEY AUTOINCREMENT,
    a INTEGER NOT NULL,                     -- ids.id
    b INTEGER NOT NULL,                     -- above a
    probability REAL NOT NULL,
    weight REAL NOT NULL,                   -- bits of evidence
    why TEXT NOT NULL,                      -- JSON, a list of words
    made_ms INTEGER NOT NULL,
    state TEXT NOT NULL,                    -- open, accepted, rejected; replaced: the last run did not find it again
    UNIQUE (a, b)
) STRICT;
CREATE INDEX suggestions_of_b ON suggestions (b);
CREATE INDEX suggestions_in_order ON suggestions (state, weight DESC, suggestion);

-- What operators did, and what came of it.
CREATE TABLE acts (
    place INTEGER PRIMARY KEY,
    act TEXT NOT NULL,                      -- JSON, as it stands in the log, but for suggestions, which are in their table
    outcome TEXT NOT NULL                   -- JSON
) STRICT;

-- Events that could not be applied: each is a person of its own, whatever ids it has.
CREATE TABLE passed (
    place INTEGER PRIMARY KEY
) STRICT;

-- What became otherwise, in the order in which it did, for those who keep a copy of who is who: an id that is new, or a
-- person who became another, or came apart. Numbers belong to this file; `meta` calls it `graph_id`.
CREATE TABLE changed (
    number INTEGER PRIMARY KEY,
    id INTEGER,                             -- ids.id; null: a person
    person INTEGER                          -- anybody of whom the person now is made
) STRICT;
CREATE TRIGGER id_came AFTER INSERT ON ids BEGIN
    INSERT INTO changed (id) VALUES (new.id);
END;
CREATE TRIGGER people_merged AFTER INSERT ON merges BEGIN
    INSERT INTO changed (person) VALUES (new.winner);
END;
CREATE TRIGGER people_split AFTER INSERT ON splits BEGIN
    INSERT INTO changed (person) VALUES (new.person), (new.former);
END;
