//! Reports: content, well-formed files, the same bytes each time, readable on hostile input.

use super::report_sample::{self, Sample};
use lmplan::planner::SearchStatus;
use lmplan::report::{Origin, ReportFile, ReportInput, TextOptions, csv, render, text};
use lmplan::sim::Timeline;
use std::collections::BTreeSet;

fn files(input: &ReportInput<'_>) -> Vec<ReportFile> {
    render(input).expect("the sample renders")
}

fn content(files: &[ReportFile], name: &str) -> String {
    let file = files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8(file.bytes.clone()).expect("reports are UTF-8")
}

/// Parses each SVG file, and each SVG inside the page.
fn check_svgs(files: &[ReportFile]) -> usize {
    let mut parsed = 0;
    for file in files.iter().filter(|file| file.name.ends_with(".svg")) {
        let source = content(files, &file.name);
        let document = roxmltree::Document::parse(&source)
            .unwrap_or_else(|error| panic!("{}: {error}", file.name));
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"), "{}", file.name);
        for tag in ["title", "desc", "style"] {
            let found = root.children().find(|node| node.has_tag_name((SVG, tag)));
            let text = found.and_then(|node| node.text()).unwrap_or_default();
            assert!(!text.trim().is_empty(), "{}: no {tag}", file.name);
        }
        check_inside(&document, &file.name);
        parsed += 1;
    }
    let page = content(files, "report.html");
    let inline: Vec<&str> = page.split("<svg ").skip(1).collect();
    assert_eq!(inline.len(), parsed);
    let mut ids = BTreeSet::new();
    for part in inline {
        let end = part.find("</svg>").expect("each svg ends");
        let source = format!("<svg {}</svg>", &part[..end]);
        let document = roxmltree::Document::parse(&source).expect("inline SVG is well-formed");
        for id in document.descendants().filter_map(|node| node.attribute("id")) {
            assert!(ids.insert(id.to_owned()), "id {id} stands twice on the page");
        }
    }
    parsed
}

const SVG: &str = "http://www.w3.org/2000/svg";

/// Every text and mark stands within the picture.
fn check_inside(document: &roxmltree::Document<'_>, name: &str) {
    let size: Vec<f64> = document
        .root_element()
        .attribute("viewBox")
        .expect("a view box")
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    for node in document.descendants().filter(|node| node.is_element()) {
        let number = |key: &str| node.attribute(key).and_then(|value| value.parse::<f64>().ok());
        let (Some(x), Some(y)) = (number("x"), number("y")) else { continue };
        let (mut left, mut right) = (x, x + number("width").unwrap_or(0.0));
        if node.has_tag_name((SVG, "text")) {
            // The width of a wide sans-serif font, in em.
            let em = number("font-size").unwrap_or(0.0);
            let room = node.text().unwrap_or("").trim().chars().count() as f64 * 0.58 * em;
            (left, right) = match node.attribute("text-anchor") {
                Some("middle") => (x - room / 2.0, x + room / 2.0),
                Some("end") => (x - room, x),
                _ => (x, x + room),
            };
        }
        let text = node.text().unwrap_or("").trim();
        assert!(left >= 0.0 && right <= size[2], "{name}: {text:?} from {left} to {right}");
        assert!(y >= 0.0 && y + number("height").unwrap_or(0.0) <= size[3], "{name}: {text:?} {y}");
    }
}

fn fills(source: &str, colour: &str) -> usize {
    let document = roxmltree::Document::parse(source).expect("well-formed");
    document.descendants().filter(|node| node.attribute("fill") == Some(colour)).count()
}

#[test]
fn text_fits_its_width() {
    let sample = Sample::new(4, 8);
    for (width, widest) in [(0, 60), (60, 60), (77, 77), (100, 100), (500, 100)] {
        let text = text(&sample.input(), TextOptions { width, style: false });
        assert!(text.is_ascii());
        for line in text.lines() {
            assert!(line.len() <= widest, "{width}: {line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn text_reads_well() {
    let sample = Sample::new(4, 8);
    insta::assert_snapshot!(text(&sample.input(), TextOptions { width: 60, style: false }));
    let sample = Sample::new(64, 192);
    insta::assert_snapshot!(
        "text_of_many_stages",
        text(&sample.input(), TextOptions { width: 100, style: false })
    );
}

#[test]
fn style_adds_escapes_only() {
    let sample = Sample::new(4, 8);
    let plain = text(&sample.input(), TextOptions { width: 80, style: false });
    let styled = text(&sample.input(), TextOptions { width: 80, style: true });
    assert!(!plain.contains('\u{1b}') && styled.contains("\u{1b}[1mPlan\u{1b}[0m"));
    let mut stripped = styled;
    for code in ["\u{1b}[1m", "\u{1b}[36m", "\u{1b}[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn markdown_reads_well() {
    insta::assert_snapshot!(content(&files(&Sample::new(4, 8).input()), "report.md"));
}

#[test]
fn csv_has_a_row_for_each_plan() {
    let mut sample = Sample::new(4, 8);
    sample.outcome.plan.model = "a \"b\", c".to_owned();
    let table = csv(&sample.outcome);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2 + sample.outcome.alternatives.len());
    assert!(lines[1].starts_with("1,\"a \"\"b\"\", c\",a100x64,megatron-core,32,8,4,1,"));
    let columns = lines[0].split(',').count();
    assert!(lines[2..].iter().all(|line| line.split(',').count() == columns));
}

#[test]
fn same_input_same_bytes() {
    let first = files(&Sample::new(8, 64).input());
    let mut again = Sample::new(8, 64);
    // The duration of the search differs between runs, and nothing else does.
    again.outcome.search.wall_time_s = Some(99.0);
    assert_eq!(first, files(&again.input()));
}

#[test]
fn svgs_are_well_formed_and_nothing_is_clipped() {
    for (stages, micro_batches) in [(1, 1), (2, 1), (4, 8), (8, 64), (64, 192)] {
        assert_eq!(check_svgs(&files(&Sample::new(stages, micro_batches).input())), 6);
    }
}

#[test]
fn pipeline_draws_every_pass_or_says_so() {
    let small = content(&files(&Sample::new(8, 64).input()), "pipeline.svg");
    // One mark for each pass and one in the legend.
    assert_eq!(fills(&small, "#0072B2"), 8 * 64 + 1);
    assert_eq!(fills(&small, "#E69F00"), 8 * 64 + 1);
    assert!(small.contains("Every pass is drawn"));
    let large = content(&files(&Sample::new(64, 192).input()), "pipeline.svg");
    assert!(large.contains("drawn as one block"));
    assert!(fills(&large, "#0072B2") < 64 * 40, "passes are joined");
    assert!(large.len() < 500_000, "{}", large.len());
}

#[test]
fn memory_has_a_bar_for_each_stage_and_kind() {
    let source = content(&files(&Sample::new(8, 64).input()), "memory.svg");
    for colour in ["#0072B2", "#56B4E9", "#009E73", "#E69F00", "#7A828C"] {
        assert_eq!(fills(&source, colour), 8 + 1, "{colour}");
    }
}

#[test]
fn trace_holds_every_instruction_once() {
    let sample = Sample::new(4, 8);
    let trace = content(&files(&sample.input()), "trace.json");
    let document: serde_json::Value = serde_json::from_str(&trace).expect("valid JSON");
    assert_eq!(document["lmplan"]["complete"], true);
    let events = document["traceEvents"].as_array().expect("a list");
    let kernels: Vec<_> = events.iter().filter(|event| event["cat"] == "kernel").collect();
    assert_eq!(kernels.len(), sample.timeline.spans.len());
    let counters = events.iter().filter(|event| event["ph"] == "C").count();
    assert_eq!(counters, sample.timeline.memory.len());
    // Instructions of one thread never overlap.
    let mut last = std::collections::BTreeMap::new();
    for event in kernels {
        let thread = (event["pid"].as_u64(), event["tid"].as_u64());
        let (start, length) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        let end = last.insert(thread, start + length).unwrap_or(0.0);
        assert!(start >= end - 0.01, "{thread:?}: {start} < {end}");
        let named = |other: &&serde_json::Value| {
            other["name"] == "thread_name"
                && (other["pid"].as_u64(), other["tid"].as_u64()) == thread
        };
        assert!(events.iter().any(|other| named(&other)), "{thread:?} has no name");
    }
}

#[test]
fn long_traces_keep_their_ends() {
    let timeline = report_sample::timeline(64, 512);
    assert!(timeline.spans.len() > 100_000);
    let trace = lmplan::report::trace(&timeline);
    assert!(trace.len() < 16 << 20, "{}", trace.len());
    let document: serde_json::Value = serde_json::from_str(&trace).expect("valid JSON");
    assert_eq!(document["lmplan"]["complete"], false);
    let omitted = |key: &str| document["lmplan"][key].as_f64().expect("a number");
    let (from, to) = (omitted("omitted_from_us"), omitted("omitted_to_us"));
    assert!(0.0 < from && from < to && to < timeline.end.seconds().get() * 1e6);
    let events = document["traceEvents"].as_array().expect("a list");
    let kernels = events.iter().filter(|event| event["cat"] == "kernel").count();
    assert!((40_000..=50_000).contains(&kernels), "{kernels}");
}

#[test]
fn json_is_the_outcome_without_the_duration() {
    let sample = Sample::new(4, 8);
    let document = content(&files(&sample.input()), "search.json");
    let mut read: lmplan::planner::SearchOutcome =
        serde_json::from_str(&document).expect("reads back");
    let mut expected = sample.outcome.clone();
    expected.search.wall_time_s = None;
    // serde_json reads floats to the last digit but one.
    assert!((read.search.lower_bound_s - expected.search.lower_bound_s).abs() < 1e-12);
    read.search.lower_bound_s = expected.search.lower_bound_s;
    assert_eq!(read.plan, expected.plan);
    assert_eq!(read.search, expected.search);
    assert_eq!(read.frontier.len(), expected.frontier.len());
    let plan: lmplan::plan::Plan =
        serde_yaml::from_str(&content(&files(&sample.input()), "plan.yaml")).expect("reads back");
    assert_eq!(plan, sample.outcome.plan);
}

#[test]
fn given_plans_claim_nothing_of_others() {
    let sample = Sample::new(4, 8);
    let input = ReportInput { origin: Origin::Given, ..sample.input() };
    let files = files(&input);
    let page = content(&files, "report.html");
    assert!(page.contains("no search was made") && !page.contains("proven optimal"));
    assert!(!page.contains("The runner-up"));
    assert!(files.iter().any(|file| file.name == "prediction.json"));
    assert!(files.iter().all(|file| file.name != "search.json"));
}

#[test]
fn stopped_searches_name_their_gap() {
    let mut sample = Sample::new(4, 8);
    sample.outcome.search.status = SearchStatus::Limit;
    sample.outcome.search.gap = 0.042;
    let text = text(&sample.input(), TextOptions { width: 100, style: false });
    assert!(text.contains("A limit stopped the search") && text.contains("up to 4.2 % faster"));
    assert!(!text.contains("best plan of that space"));
}

#[test]
fn plans_that_do_not_fit_say_so() {
    let mut sample = Sample::new(4, 8);
    sample.outcome.prediction.memory_capacity_bytes = 40 << 30;
    let files = files(&sample.input());
    let page = content(&files, "report.html");
    assert!(page.contains("does not fit") && page.contains("32.0 GiB (80.0 %) missing"));
    check_svgs(&files);
}

#[test]
fn hostile_names_stay_text() {
    let mut sample = Sample::new(4, 8);
    sample.model.name = "<script>alert(1)</script>|\u{1}\u{1b}[31m".to_owned();
    sample.outcome.assumptions.push("a < b & c | d\nnext `x`".to_owned());
    let mut input = sample.input();
    input.model_text = "```\n</pre><script>\n````";
    let files = files(&input);
    for name in ["report.html", "report.md"] {
        let source = content(&files, name);
        let outside = source.replace("</pre><script>", "");
        let shown = if name == "report.md" { &outside } else { &source };
        assert!(!shown.contains("<script>"), "{name}");
    }
    assert!(content(&files, "report.md").contains("`````yaml"));
    assert!(!text(&input, TextOptions { width: 80, style: false }).contains('\u{1b}'));
    check_svgs(&files);
}

#[test]
fn missing_and_undefined_numbers_are_survived() {
    let mut sample = Sample::new(4, 8);
    sample.timeline = Timeline::default();
    sample.scaling.clear();
    sample.outcome.frontier.clear();
    sample.outcome.alternatives.clear();
    sample.outcome.plan.stages.clear();
    check_svgs(&files(&sample.input()));
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        sample.outcome.prediction.iteration_time_s = bad;
        sample.outcome.prediction.breakdown.compute_s = bad;
        sample.outcome.prediction.stages.iter_mut().for_each(|stage| stage.forward_s = bad);
        check_svgs(&files(&sample.input()));
        text(&sample.input(), TextOptions { width: 80, style: false });
    }
    sample.outcome.prediction.stages.clear();
    check_svgs(&files(&sample.input()));
}

#[test]
fn the_runner_up_is_judged_by_its_numbers() {
    let mut sample = Sample::new(4, 8);
    let best = sample.outcome.prediction.clone();
    let second = &mut sample.outcome.alternatives[0];
    second.plan = sample.outcome.plan.clone();
    second.plan.schedule = lmplan::spec::stack::ScheduleKind::Gpipe;
    second.prediction = best.clone();
    second.prediction.iteration_time_s = best.iteration_time_s + 1.0;
    second.prediction.breakdown.optimizer_s += 0.5;
    second.prediction.breakdown.data_parallel_s += 0.5;
    second.prediction.peak_memory_bytes = best.peak_memory_bytes + (3 << 30);
    let text = text(&sample.input(), TextOptions { width: 100, style: false });
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("The runner-up is t8 p4 d1 (1f1b -> gpipe): 3.47 s per iteration (+1.00 s")
    );
    assert!(words.contains("no saving in that part alone would bring it level"));
    assert!(words.contains("It needs 3.00 GiB more memory"));
    assert!(!words.contains("measuring both plans"), "1 s is more than half the interval");
}
