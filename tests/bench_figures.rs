//! Statistics, order and output of the benches. A bench without a harness has no tests, so its shared modules are tested
//! here.
#![allow(dead_code, reason = "the benches use items without a test")]

#[path = "../benches/shared/mod.rs"]
mod shared;

mod stats {
    use crate::shared::stats::*;

    fn spread(q1: f64, q3: f64) -> Spread {
        Spread {
            q1,
            median: (q1 + q3) / 2.0,
            q3,
            samples: 20,
        }
    }

    #[test]
    fn no_samples_have_no_spread() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quartiles_do_not_depend_on_the_order_of_samples() {
        let expected = Spread {
            q1: 2.0,
            median: 3.0,
            q3: 4.0,
            samples: 5,
        };
        assert_eq!(Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]), Some(expected));
    }

    #[test]
    fn quartiles_lie_between_ranks_when_they_must() {
        let four = Spread::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((four.q1, four.median, four.q3), (1.75, 2.5, 3.25));
        assert_eq!(Spread::of(&[7.0]).unwrap(), Spread::exact(7.0));
    }

    #[test]
    fn one_wild_sample_does_not_move_the_median() {
        assert_eq!(median(&[1.0, 1.0, 1.0, 1.0, 900.0]), Some(1.0));
    }

    #[test]
    fn ratios_pair_the_samples_of_one_round() {
        // Both double in the second round, so the ratio is the same.
        assert_eq!(ratios(&[3.0, 6.0], &[2.0, 4.0]), [1.5, 1.5]);
    }

    #[test]
    fn a_bound_from_above_is_met_missed_or_straddled() {
        let bound = Bound::AtMost(1.1);
        assert_eq!(bound.verdict(spread(1.0, 1.1)), Verdict::Met);
        assert_eq!(bound.verdict(spread(1.11, 1.2)), Verdict::NotMet);
        assert_eq!(bound.verdict(spread(1.0, 1.2)), Verdict::NotDistinguishable);
    }

    #[test]
    fn a_bound_from_below_is_met_missed_or_straddled() {
        let bound = Bound::AtLeast(0.8);
        assert_eq!(bound.verdict(spread(0.8, 0.9)), Verdict::Met);
        assert_eq!(bound.verdict(spread(0.6, 0.79)), Verdict::NotMet);
        assert_eq!(bound.verdict(spread(0.7, 0.9)), Verdict::NotDistinguishable);
    }
}

mod rounds {
    use crate::shared::rounds::order;

    #[test]
    fn every_round_visits_each_contestant_once() {
        for round in 0..20 {
            let mut visited = order(round, 7);
            visited.sort_unstable();
            assert_eq!(visited, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn no_contestant_is_always_first() {
        let firsts: std::collections::BTreeSet<usize> =
            (0..6).map(|round| order(round, 3)[0]).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn backward_rounds_undo_the_forward_ones() {
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [2, 1, 0]);
        assert_eq!(order(2, 3), [1, 2, 0]);
    }

    #[test]
    fn an_empty_field_has_an_empty_round() {
        assert!(order(5, 0).is_empty());
    }
}

mod json {
    use crate::shared::json::Json;

    #[test]
    fn nested_values_are_written_in_order() {
        let value = Json::object([
            ("b", Json::numbers(&[1.0, 2.5])),
            ("a", Json::Object(Vec::new())),
        ]);
        assert_eq!(value.to_string(), r#"{"b":[1,2.5],"a":{}}"#);
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(Json::text("a\"b\\c\nd").to_string(), r#""a\"b\\c\u000ad""#);
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        assert_eq!(Json::Number(f64::NAN).to_string(), "null");
        assert_eq!(Json::Number(f64::INFINITY).to_string(), "null");
    }
}

mod table {
    use crate::shared::table::render;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["floor".to_string(), "40 KiB".to_string()],
            vec!["µ".to_string(), "1".to_string()],
        ];
        assert_eq!(
            render(&["who", "Rss"], &[0], &rows),
            "who       Rss\n-----  ------\nfloor  40 KiB\nµ           1\n"
        );
    }

    #[test]
    fn short_rows_are_left_open() {
        assert_eq!(
            render(&["a", "b"], &[0], &[vec!["x".to_string()]]),
            "a  b\n-  -\nx\n"
        );
    }
}
