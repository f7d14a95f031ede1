//! Software stacks.

use super::Findings;
use crate::spec::StackSpec;
use crate::spec::catalog::Kind;
use crate::spec::diagnostic::Finding;
use crate::spec::load::Document;

/// What is wrong with how the stack's kernels are described.
fn kernel_findings(stack: &StackSpec, found: &mut Findings) {
    const CODE: &str = "stack::size";
    if !(1..=3).contains(&stack.flash_attention_version) {
        let version = stack.flash_attention_version;
        let message =
            format!("`flash_attention_version` is {version}, not a generation from 1 to 3");
        found.add(Finding::new(CODE, "flash_attention_version", message));
    }
    for (field, share) in [
        ("pass_efficiency", stack.pass_efficiency),
        ("library_efficiency", stack.library_efficiency),
    ] {
        if !(0.01..=1.0).contains(&share) {
            let message = format!("`{field}` is {share}, not a share from 0.01 to 1");
            let help = "write 80 % as `0.8`";
            found.add(Finding::new(CODE, field, message).help(help));
        }
    }
    if !(1..=65_536).contains(&stack.vocabulary_multiple) {
        let multiple = stack.vocabulary_multiple;
        let message = format!("`vocabulary_multiple` is {multiple}, not a number from 1 to 65536");
        found.add(Finding::new(CODE, "vocabulary_multiple", message));
    }
}

impl Document for StackSpec {
    const KIND: Kind = Kind::Stack;

    fn findings(&self) -> Vec<Finding> {
        const CODE: &str = "stack::size";
        let mut found = Findings::default();
        found.name("stack::name", &self.name);
        let widths = [
            ("gradient_bytes", self.gradient_bytes),
            ("gradient_reduce_bytes", self.gradient_reduce_bytes),
        ];
        for (field, bytes) in widths {
            if !matches!(bytes, 2 | 4) {
                let message = format!("`{field}` is {bytes}; a gradient element has 2 or 4 bytes");
                found.add(Finding::new(CODE, field, message));
            }
        }
        if !(0.0..=10.0).contains(&self.overlap_contention) {
            let message = format!(
                "`overlap_contention` is {}, not a slowdown between 0 and 10",
                self.overlap_contention
            );
            let help = "write a slowdown of 5 % as `0.05`";
            found.add(Finding::new(CODE, "overlap_contention", message).help(help));
        }
        kernel_findings(self, &mut found);
        if !(0.0..1.0).contains(&self.fragmentation) {
            let message = format!(
                "`fragmentation` is {}, not a share of at least 0 and below 1",
                self.fragmentation
            );
            let help = "write 5 % as `0.05`";
            found.add(Finding::new(CODE, "fragmentation", message).help(help));
        }
        if self.launch_overhead.get() > 1.0 {
            let message =
                format!("`launch_overhead` is {}, more than a second", self.launch_overhead);
            let finding = Finding::new(CODE, "launch_overhead", message);
            found.add(finding.help("is it a slip of the unit?"));
        }
        found.count(CODE, "bucket_elements", self.bucket_elements, 1, 1_000_000_000_000);
        let memories = [
            ("context_memory", self.context_memory),
            ("communicator_memory", self.communicator_memory),
        ];
        for (field, memory) in memories {
            if memory.as_f64() > 1e14 {
                let message = format!("`{field}` is {memory}, beyond anything that is planned for");
                let finding = Finding::new(CODE, field, message);
                found.add(finding.help("is it a slip of the unit?"));
            }
        }
        if self.schedules.is_empty() {
            let finding = Finding::new("stack::schedules", "schedules", "`schedules` names none");
            found.add(finding.help("write `[gpipe, 1f1b]`, or those that it has"));
        }
        for (index, schedule) in self.schedules.iter().enumerate() {
            if self.schedules[..index].contains(schedule) {
                let path = format!("schedules/{index}");
                let message = "this schedule stands in the list twice";
                found.add(Finding::new("stack::schedules", path, message));
            }
        }
        found.into_vec()
    }
}
