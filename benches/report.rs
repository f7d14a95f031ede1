//! Time to render a whole report.

#[path = "../tests/it/report_sample.rs"]
mod report_sample;

use criterion::Criterion;
use report_sample::Sample;
use std::hint::black_box;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (stages, micro_batches) in [(8, 64), (64, 192)] {
        let sample = Sample::new(stages, micro_batches);
        criterion.bench_function(&format!("report/{stages}x{micro_batches}"), |bencher| {
            bencher.iter(|| lmplan::report::render(black_box(&sample.input())));
        });
    }
    criterion.final_summary();
}
