//! The timeline in the trace event format that Perfetto, chrome://tracing and tools for the PyTorch
//! profiler read: a process for each stage, a thread for each stream, `ph: X` events in
//! microseconds, and the memory in use as a counter.

use crate::sim::{Span, SpanKind, Timeline};
use crate::units::SimTime;
use std::fmt::Write;

/// More instructions than this are not written; of a longer timeline, only its beginning and its
/// end are. An instruction takes about 150 bytes.
const MOST_SPANS: usize = 50_000;
/// Instructions of one stream that overlap stand in lanes of their own, this many threads apart.
const LANES: u64 = 16;

/// The part of the timeline that is written: all that ends by `head` or begins at `tail` or later.
#[derive(Debug, Clone, Copy)]
struct Window {
    head: SimTime,
    tail: SimTime,
}

impl Window {
    /// Everything, or as much from both ends as the limit allows.
    fn of(spans: &[Span]) -> Option<Window> {
        if spans.len() <= MOST_SPANS {
            return None;
        }
        let half = MOST_SPANS / 2;
        let mut ends: Vec<SimTime> = spans.iter().map(|span| span.end).collect();
        let (_, head, _) = ends.select_nth_unstable(half);
        let head = *head;
        let mut starts: Vec<SimTime> = spans.iter().map(|span| span.start).collect();
        let from = starts.len() - half;
        let (_, tail, _) = starts.select_nth_unstable(from);
        Some(Window { head, tail: (*tail).max(head) })
    }

    fn holds(&self, start: SimTime, end: SimTime) -> bool {
        end < self.head || start > self.tail
    }
}

/// The trace as JSON.
pub fn trace(timeline: &Timeline) -> String {
    let window = Window::of(&timeline.spans);
    let shown = timeline.spans.len().min(MOST_SPANS);
    let mut out = String::with_capacity(160 * shown + 90 * timeline.memory.len().min(shown) + 4096);
    out.push_str("{\"schemaVersion\":1,\"displayTimeUnit\":\"ms\",");
    metadata(&mut out, timeline, window);
    out.push_str("\"traceEvents\":[\n");
    let mut threads = Threads::default();
    for stage in 0..timeline.stages {
        let _ = writeln!(
            out,
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{stage},\"args\":{{\"name\":\
             \"stage {stage}\"}}}},\n{{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":\
             {stage},\"args\":{{\"sort_index\":{stage}}}}},"
        );
    }
    for span in &timeline.spans {
        if window.is_none_or(|window| window.holds(span.start, span.end)) {
            let thread = threads.place(&mut out, span);
            event(&mut out, span, thread);
        }
    }
    for sample in &timeline.memory {
        if window.is_none_or(|window| window.holds(sample.time, sample.time)) {
            let _ =
                write!(out, "{{\"ph\":\"C\",\"name\":\"memory\",\"pid\":{},\"ts\":", sample.stage);
            microseconds(&mut out, nanos(sample.time));
            let _ = writeln!(out, ",\"args\":{{\"bytes\":{}}}}},", sample.bytes.get());
        }
    }
    // The iteration as a whole closes the list, so that every line before may end with a comma.
    out.push_str(
        "{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#0\",\"pid\":0,",
    );
    let _ = write!(out, "\"tid\":{},\"ts\":0.000,\"dur\":", 3 * LANES);
    microseconds(&mut out, nanos(timeline.end));
    out.push_str("}\n]}\n");
    out
}

fn metadata(out: &mut String, timeline: &Timeline, window: Option<Window>) {
    let _ = write!(
        out,
        "\"lmplan\":{{\"stages\":{},\"instructions\":{},\"complete\":{}",
        timeline.stages,
        timeline.spans.len(),
        window.is_none()
    );
    if let Some(window) = window {
        out.push_str(",\"omitted_from_us\":");
        microseconds(out, nanos(window.head));
        out.push_str(",\"omitted_to_us\":");
        microseconds(out, nanos(window.tail));
        out.push_str(
            ",\"note\":\"the middle of the iteration is left out to keep the file small\"",
        );
    }
    out.push_str("},");
}

/// Threads in use of the stage at hand: end of the last instruction of each lane of each stream.
#[derive(Default)]
struct Threads {
    stage: Option<u64>,
    ends: [Vec<SimTime>; 3],
}

impl Threads {
    /// The thread of an instruction; names it where it is new.
    fn place(&mut self, out: &mut String, span: &Span) -> u64 {
        if self.stage != Some(span.stage) {
            self.stage = Some(span.stage);
            self.ends.iter_mut().for_each(Vec::clear);
        }
        let stream = stream(span.kind);
        let lanes = &mut self.ends[stream];
        let last = LANES as usize - 1;
        let lane = lanes.iter().position(|end| *end <= span.start).unwrap_or(lanes.len()).min(last);
        let thread = stream as u64 * LANES + lane as u64;
        match lanes.get_mut(lane) {
            Some(end) => *end = span.end,
            None => {
                lanes.push(span.end);
                let name = ["compute", "communication", "data parallel"][stream];
                let number = if lane == 0 { String::new() } else { format!(" {}", lane + 1) };
                let _ = writeln!(
                    out,
                    "{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{},\"tid\":{thread},\"args\":\
                     {{\"name\":\"{name}{number}\"}}}},",
                    span.stage
                );
            }
        }
        thread
    }
}

/// Compute, communication between stages, communication between replicas.
fn stream(kind: SpanKind) -> usize {
    match kind {
        SpanKind::Forward | SpanKind::Backward | SpanKind::Optimizer => 0,
        SpanKind::Transfer => 1,
        SpanKind::GradientReduce | SpanKind::ParameterGather => 2,
    }
}

/// Names of collectives begin with `nccl`, by which trace tools know communication kernels.
fn name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Forward => "forward",
        SpanKind::Backward => "backward",
        SpanKind::Optimizer => "optimizer",
        SpanKind::Transfer => "nccl:send_recv",
        SpanKind::GradientReduce => "nccl:gradient_reduce",
        SpanKind::ParameterGather => "nccl:parameter_gather",
    }
}

fn event(out: &mut String, span: &Span, thread: u64) {
    let (start, end) = (nanos(span.start), nanos(span.end));
    out.push_str("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"");
    out.push_str(name(span.kind));
    out.push_str("\",\"pid\":");
    integer(out, span.stage);
    out.push_str(",\"tid\":");
    integer(out, thread);
    out.push_str(",\"ts\":");
    microseconds(out, start);
    out.push_str(",\"dur\":");
    microseconds(out, end.saturating_sub(start));
    out.push_str(",\"args\":{\"stream\":");
    integer(out, thread);
    if let Some(micro_batch) = span.micro_batch {
        out.push_str(",\"micro_batch\":");
        integer(out, micro_batch);
    }
    out.push_str(",\"chunk\":");
    integer(out, span.chunk);
    out.push_str("}},\n");
}

fn nanos(time: SimTime) -> u64 {
    time.picos() / 1000
}

/// Nanoseconds as microseconds with three decimals.
fn microseconds(out: &mut String, nanos: u64) {
    integer(out, nanos / 1000);
    let rest = nanos % 1000;
    out.push('.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        out.push(char::from(b'0' + digit as u8));
    }
}

/// Decimal digits, without the machinery of `format!`, of which a trace would need a million.
fn integer(out: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[first..].iter().map(|digit| char::from(*digit)));
}
