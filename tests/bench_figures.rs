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

mod chart {
    use crate::shared::chart::*;

    /// The column of the first table below a heading of docs/benchmarks.md.
    fn column(heading: &str, name: &str) -> Vec<(String, String)> {
        let page = include_str!("../docs/benchmarks.md");
        let section = page.split(&format!("## {heading}\n")).nth(1).unwrap();
        let table = section.lines().skip_while(|line| !line.starts_with('|'));
        let mut rows = table
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let index = rows.next().unwrap().iter().position(|cell| *cell == name);
        let index = index.unwrap();
        rows.skip(1)
            // The second floor measures the noise.
            .filter(|cells| cells[index] != "-" && !cells[1].contains(" again, as"))
            .map(|cells| {
                let contestant = cells[1].split(',').next().unwrap().replace("**", "");
                (contestant, cells[index].to_string())
            })
            .collect()
    }

    fn memory(text: &str) -> f64 {
        let (number, unit) = text.split_once(' ').unwrap();
        let kib = match unit {
            "KiB" => 1.0,
            "MiB" => 1024.0,
            _ => panic!("{text}"),
        };
        number.parse::<f64>().unwrap() * kib
    }

    fn ratio(text: &str) -> f64 {
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// The bench prints the tables of the page and draws the charts beside it, in one run.
    /// `PROBELET_TEST_BLESS=1` draws them from the tables.
    #[test]
    fn the_charts_of_the_docs_show_the_figures_of_their_tables() {
        type Draw = fn(&str, &str) -> Bar;
        let of_memory: Draw = |name, text| Bar::memory(name, memory(text));
        let of_cpu: Draw = |name, text| Bar::times(name, ratio(text));
        for (chart, heading, name, bar) in [
            (MEMORY, "Plaintext probes", "resident", of_memory),
            (
                PLAINTEXT_CPU,
                "Plaintext probes",
                "CPU of a spaced probe",
                of_cpu,
            ),
            (HTTPS_CPU, "HTTPS probes", "CPU of a spaced probe", of_cpu),
        ] {
            let bars = column(heading, name);
            let bars: Vec<Bar> = bars.iter().map(|(name, text)| bar(name, text)).collect();
            let svg = draw(chart, &bars);
            let path = format!(
                "{}/docs/charts/{}.svg",
                env!("CARGO_MANIFEST_DIR"),
                chart.name
            );
            if std::env::var_os("PROBELET_TEST_BLESS").is_some() {
                std::fs::write(&path, &svg).unwrap();
            }
            let kept = std::fs::read_to_string(&path).unwrap();
            assert!(kept == svg, "{path} does not show the table: {kept}");
        }
    }

    #[test]
    fn the_largest_bar_has_the_full_length_and_the_smallest_is_visible() {
        let bars = [Bar::times("floor", 1.0), Bar::times("<peer>", 500.0)];
        let svg = draw(PLAINTEXT_CPU, &bars);
        assert!(
            svg.contains("the floor 1x, &lt;peer> 500.00x</title>"),
            "{svg}"
        );
        assert!(svg.contains(r#"width="2" height="22""#), "{svg}");
        assert!(svg.contains(r#"width="430" height="22""#), "{svg}");
    }
}
