//! Scripts that start every rank, under torchrun and under Slurm, and the map of ranks.

use super::arguments::quoted;
use super::configuration::{Program, one_line};
use super::exported::ExportFile;
use super::input::ExportInput;
use super::layout::ranks;
use crate::mesh::Nodes;

/// `torchrun.sh`, run once on each node, and `slurm.sbatch`, which does that.
pub(super) fn scripts(subject: &ExportInput<'_>, program: &Program) -> Vec<ExportFile> {
    let nodes = Nodes::of(subject.cluster).filled(subject.plan.devices());
    vec![torchrun(subject, program, &nodes), slurm(subject, &nodes)]
}

fn torchrun(subject: &ExportInput<'_>, program: &Program, nodes: &[u64]) -> ExportFile {
    let plan = subject.plan;
    let count = nodes.len();
    let mut text = format!(
        "#!/usr/bin/env bash\n# {} on {}: {} ranks on {count} {}.\n",
        one_line(&plan.model),
        one_line(&plan.cluster),
        plan.devices(),
        if count == 1 { "node" } else { "nodes" },
    );
    if count > 1 {
        text.push_str(&format!(
            "# Run it on every node with NODE_RANK=0 to {} and MASTER_ADDR, the name of node 0.\n",
            count - 1
        ));
    }
    text.push_str("set -euo pipefail\n");
    text.push_str("here=$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\n");
    let first = nodes.first().copied().unwrap_or(1);
    let alike = nodes.iter().all(|here| *here == first);
    let per_node = if alike {
        first.to_string()
    } else {
        let list: Vec<String> = nodes.iter().map(u64::to_string).collect();
        text.push_str(&format!("ranks=({})\n", list.join(" ")));
        "\"${ranks[${NODE_RANK:?}]}\"".to_owned()
    };
    for line in &program.setup {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("torchrun \\\n");
    text.push_str(&format!("  --nnodes={count} --nproc-per-node={per_node} \\\n"));
    let (rank, address) = if count > 1 {
        ("${NODE_RANK:?}", "${MASTER_ADDR:?}")
    } else {
        ("${NODE_RANK:-0}", "${MASTER_ADDR:-localhost}")
    };
    text.push_str(&format!("  --node-rank=\"{rank}\" --master-addr=\"{address}\" \\\n"));
    text.push_str("  --master-port=\"${MASTER_PORT:-29500}\" \\\n");
    text.push_str(&format!("  {} \"$@\"\n", program.command));
    ExportFile { name: "torchrun.sh".to_owned(), text }
}

fn slurm(subject: &ExportInput<'_>, nodes: &[u64]) -> ExportFile {
    let most = nodes.iter().copied().max().unwrap_or(1);
    let name: String = subject
        .plan
        .model
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect();
    let text = format!(
        "#!/usr/bin/env bash\n\
         #SBATCH --job-name={name}\n\
         #SBATCH --nodes={}\n\
         #SBATCH --ntasks-per-node=1\n\
         #SBATCH --gpus-per-node={most}\n\
         #SBATCH --exclusive\n\
         # Submit it from this folder: `sbatch slurm.sbatch`. Ranks follow the order of the nodes.\n\
         set -euo pipefail\n\
         MASTER_ADDR=$(scontrol show hostnames \"$SLURM_JOB_NODELIST\" | head -n 1)\n\
         export MASTER_ADDR MASTER_PORT=\"${{MASTER_PORT:-29500}}\"\n\
         srun bash -c 'NODE_RANK=$SLURM_NODEID exec bash \"$SLURM_SUBMIT_DIR/torchrun.sh\" \"$@\"' torchrun.sh \"$@\"\n",
        nodes.len()
    );
    ExportFile { name: "slurm.sbatch".to_owned(), text }
}

/// `ranks.csv`: which rank stands where and does what.
pub(super) fn rank_map(subject: &ExportInput<'_>) -> ExportFile {
    let mut text = "rank,node,local_rank,pipeline,data,context,tensor,layers\n".to_owned();
    for place in ranks(subject) {
        let layers: Vec<String> =
            place.layers.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
        text.push_str(&format!(
            "{},{},{},{},{},{},{},{}\n",
            place.rank,
            place.node,
            place.local_rank,
            place.pipeline,
            place.data,
            place.context,
            place.tensor,
            layers.join(";")
        ));
    }
    ExportFile { name: "ranks.csv".to_owned(), text }
}

/// A path beside the script, for the shell.
pub(super) fn beside(file: &str) -> String {
    format!("\"$here\"/{}", quoted(file))
}
