//! A test for each pair and scenario.

macro_rules! test {
    ($kind:expr, $scenario:ident $(, $ignored:literal)?) => {
        #[tokio::test]
        $(#[ignore = $ignored])?
        async fn $scenario() {
            let case = crate::pair::Case { kind: $kind, scenario: stringify!($scenario) };
            crate::scenarios::$scenario(case).await;
        }
    };
}

macro_rules! tests {
    ($kind:expr, [$($scenario:ident)*]) => { $(test! { $kind, $scenario })* };
    ($kind:expr, ignored: $reason:literal, [$($scenario:ident)*]) => {
        $(test! { $kind, $scenario, $reason })*
    };
}

macro_rules! tests_with_go {
    ($pair:ident, $kind:expr $(, $more:ident)*) => {
        mod $pair {
            #[allow(unused_imports, reason = "peers are of the newest version")]
            use crate::go::Version;
            use crate::pair::Kind;

            tests! {
                $kind,
                ignored: "needs Go; run: cargo test -p watertight-cli --test interop -- --ignored",
                [
                    request_response one_gibibyte_each_way sixty_four_connections_at_once
                    slow_reader stopped_reader dial_refused dial_hangs forbidden_target
                    close_from_each_end half_close agent_killed server_killed link_cut
                    idle_for_two_minutes ten_thousand_short_connections $($more)*
                ]
            }
        }
    };
}

tests_with_go! { go_server, Kind::GoServer(Version::V0_6_2), both_ends_dial, client_resets_at_deaf_target }
tests_with_go! { go_client, Kind::GoClient(Version::V0_6_2), both_ends_dial, client_resets_at_deaf_target }
tests_with_go! {
    go_server_v0_6_1, Kind::GoServer(Version::V0_6_1), both_ends_dial, client_resets_at_deaf_target
}
tests_with_go! { ours_through_go_peer, Kind::OursThroughGo, client_resets_at_deaf_target }
// A client of a Go server that resets is not noticed while what writes for it is asleep (R6).
tests_with_go! { go_through_our_peer, Kind::GoThroughOurs }

mod go_behind_our_peers {
    use crate::pair::Kind;

    tests! {
        Kind::GoBehindOurs,
        ignored: "needs Go; run: cargo test -p watertight-cli --test interop -- --ignored",
        [
            request_response sixty_four_connections_at_once slow_reader stopped_reader
            dial_refused close_from_each_end half_close client_resets_at_deaf_target
        ]
    }
}

mod peers {
    use crate::pair::Kind;

    tests! {
        Kind::Peers,
        ignored: "needs Go; run: cargo test -p watertight-cli --test interop -- --ignored",
        [dials_crossing]
    }
}

mod ours_in_base {
    use crate::pair::Kind;

    tests! {
        Kind::OursInBase,
        [
            request_response sixty_four_connections_at_once slow_reader dial_refused
            half_close client_resets_at_deaf_target forbidden_target both_ends_dial agent_killed
            server_killed
        ]
    }

    tests! {
        Kind::OursInBase,
        ignored: "takes long; run: cargo test -p watertight-cli --test interop -- --ignored",
        [
            one_gibibyte_each_way stopped_reader dial_hangs close_from_each_end link_cut
            idle_for_two_minutes ten_thousand_short_connections
        ]
    }
}
