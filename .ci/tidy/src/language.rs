//! Words that no comment, document or name has, and the better ones.

/// The forms of a word or phrase, separated by `|`, and the replacement.
pub type Entry = (&'static str, &'static str);

/// Entries by the reason why they are banned.
pub type Table = &'static [(&'static str, &'static [Entry])];

/// Phrases in comments and documents. A dot in front means the beginning of a sentence.
pub const PHRASES: Table = &[
    (
        "a subject is a noun, not a clause",
        &[
            ("whoever", "the party: the caller, the reader, the agent"),
            ("whatever", "any, every, or the noun"),
            (
                "those that | those who | those which",
                "the plural noun: connections that, callers that",
            ),
            (". one that | . one who | . one which", "the noun: a connection that, a caller that"),
            (
                ". what is | . what was | . what has | . what it | . what they | . what a | . what the",
                "the noun",
            ),
        ],
    ),
    (
        "the two ends of a session have names",
        &[
            ("other end | other side", "remote"),
            ("ours", "local, or the noun"),
            ("theirs", "remote, or the noun"),
        ],
    ),
    (
        "the field has a term",
        &[
            ("room", "capacity, space, or writable(n)"),
            ("way | ways", "route, method, direction"),
            ("place | places", "permit, slot, position"),
            ("books", "ledger"),
            ("uneven", "unbalanced"),
            ("farewell | last words", "close reason"),
            ("crowd | crowds", "superseded sessions, or many"),
            ("oust | ousts | ousted", "supersede"),
            ("newcomer | newcomers", "new session"),
            ("stranger | strangers", "unauthenticated remote"),
            ("gather | gathers | gathered", "coalesce"),
            ("backdial | redial", "dial"),
            ("specimen | specimens", "seeded bug"),
            ("dice", "random numbers"),
            ("for want of", "for lack of"),
            ("for ever", "forever, without a limit"),
        ],
    ),
    (
        "an everyday word hides what happens",
        &[
            ("tell | tells | told | teller", "notify, send, report"),
            ("say | says | said", "send, state, report"),
            ("story", "trace"),
            ("go on | goes on | going on", "continue"),
            ("come to | comes to", "reach, be"),
            ("hear | hears", "receive"),
            ("bears", "accept, support"),
            ("hurry", "retry now"),
            ("mend | mends | mended", "fix, repair"),
            ("is looked at", "is checked, is processed"),
        ],
    ),
];

/// Names of modules, types, functions, constants and variants. A name matches as `snake_case`.
pub const NAMES: Table = &[
    (
        "the field has a term",
        &[
            ("abandon", "force_close"),
            ("allot | allots", "allocate"),
            ("backdial | redial", "dial"),
            ("books", "ledger"),
            ("crowd", "superseded"),
            ("ending", "close"),
            ("farewell | last_words", "close_reason"),
            ("gather", "coalesce"),
            ("gone", "disconnected"),
            ("hurry", "retry_now"),
            ("is_even", "is_balanced, is_settled"),
            ("newcomer", "new_session"),
            ("not_possible", "invalid_state"),
            ("numbers", "ids"),
            ("oust | ousted", "supersede, superseded"),
            ("over", "an enum of end of file and cut off"),
            ("owner", "session_events"),
            ("place", "permit"),
            ("rests | skips", "pauses"),
            ("room", "writable"),
            ("seen", "id_window"),
            ("specimen", "seeded_bug"),
            ("standing", "scheduling_state"),
            ("turns", "id_queue"),
            ("unspeakable", "not_encodable"),
            ("way", "route"),
            ("welcome", "authorize"),
        ],
    ),
    (
        "a picture instead of a thing",
        &[
            ("desk | server_desk", "the responsibility"),
            ("finale", "shut_down"),
            ("oneself", "own_id"),
            ("reins", "handle"),
            ("roll", "registry"),
            ("seat | ticket", "permit, slot"),
            ("stage", "world, environment"),
        ],
    ),
    (
        "speech instead of a message, a log or a trace",
        &[
            ("say | says | said", "display, report"),
            ("tell | teller | told | story", "trace, notify"),
        ],
    ),
];
