//! What is said to wrong inputs: docs/messages.md is what the commands say now.
//!
//! `BLESS=1 cargo test --test it messages` writes the page anew; read it with the eyes of somebody
//! who has made the mistake: what was found, what is possible, what to do next.

use std::fmt::Write;
use std::path::Path;

/// Parts of the page: a title, and the commands under it.
const PARTS: [(&str, &[&str]); 8] = [
    (
        "Names and files",
        &[
            "search --model gpt-3 --cluster a100x64",
            "search --model gpt3-175b --cluster a100",
            "search --model lama2-70b --cluster h100x8",
            "search --model gpt3-175b --cluster a100x64 --stack nosuch",
            "search --model models --cluster a100x64",
            "search --model broken.yaml --cluster a100x64",
            "search --model mixtral --cluster h100x64",
            "search --model mixtral-8x7b --cluster h100x64",
            "search --model llama2-7b --cluster dgx1-v100 --precision fp8",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan nosuch.yaml",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan best/search.json",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan models",
            "explain models",
            "diff best best/certificate.json",
            "check nosuch",
            "import hf nosuch",
            "import hf plan.yaml",
            "validate --runs plan.yaml",
            "validate --runs models",
        ],
    ),
    (
        "Numbers",
        &[
            "search --model gpt3-175b --cluster a100x64 --global-batch 0",
            "search --model gpt3-175b --cluster a100x64 --global-batch -64",
            "search --model gpt3-175b --cluster a100x64 --global-batch 1,536",
            "search --model gpt3-175b --cluster a100x64 --global-batch 1.0005K",
            "search --model gpt3-175b --cluster a100x64 --global-batch 1e15",
            "search --model gpt3-175b --cluster a100x64 --sequence-length 4K",
            "search --model gpt3-175b --cluster a100x64 --sequence-length 0",
            "search --model gpt3-175b --cluster a100x64 --sequence-length 1e9",
            "search --model gpt3-175b --cluster a100x64 --tokens 0",
            "search --model gpt3-175b --cluster a100x64 --tp 4..2",
            "search --model gpt3-175b --cluster a100x64 --tp -4",
            "search --model gpt3-175b --cluster a100x64 --time-limit 0",
            "search --model gpt3-175b --cluster a100x64 --top 1000",
        ],
    ),
    (
        "Parts of the plan that can not be",
        &[
            "search --model gpt3-175b --cluster a100x64 --tp 128",
            "search --model gpt3-175b --cluster a100x64 --pp 97",
            "search --model gpt3-175b --cluster a100x64 --dp 5",
            "search --model gpt3-175b --cluster a100x64 --micro-batch 5",
            "search --model gpt3-175b --cluster a100x64 --tp 8 --pp 8 --dp 8",
            "search --model gpt3-175b --cluster a100x64 --pp 7 --virtual-stages 2",
            "search --model gpt3-175b --cluster a100x64 --schedule gpipe",
            "search --model gpt3-175b --cluster a100x64 --dp 8 --micro-batch 512",
            "search --model gpt3-175b --cluster a100x8 --tp 5",
            "explain best --why-not tp=3,pq=2",
        ],
    ),
    (
        "What does not fit",
        &[
            "search --model gpt3-175b --cluster a100x8",
            "search --model gpt3-175b --cluster a100x64 --tp 1 --pp 1 --recompute none",
            "search --model gpt3-175b --cluster a100x64 --time-limit 1ns",
        ],
    ),
    (
        "Deadlines and training sets",
        &[
            "search --model gpt3-175b --cluster a100x64 --objective devices --deadline 30",
            "search --model gpt3-175b --cluster a100x64 --objective devices --deadline 30d",
            "search --model gpt3-1.3b --cluster a100x8 --objective cost --deadline 2d",
            "search --model gpt3-175b --cluster a100x64 --objective devices",
            "search --model gpt3-175b --cluster a100x64 --deadline 30d",
            "search --model gpt3-175b --cluster a100x64 --epochs 3",
            "search --model bert-base --cluster a100x64 --tokens 3B --examples 52K",
        ],
    ),
    (
        "Flags against a plan",
        &[
            "simulate --model gpt3-1.3b --cluster a100x8 --plan plan.yaml --global-batch 3200",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan plan.yaml --global-batch 33",
            "simulate --model gpt3-2.7b --cluster a100x8 --plan plan.yaml",
            "simulate --model gpt3-350m --cluster a100x8 --plan plan.yaml",
            "simulate --model gpt3-1.3b --cluster a100x16 --plan plan.yaml",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan plan.yaml --stack fsdp",
            "simulate --model gpt3-1.3b --cluster a100x8 --plan best/plan.yaml --precision fp32",
            "explain best --sequence-length 1024",
            "export megatron best --cluster a100x16",
            "export megatron best --model gpt3-2.7b",
        ],
    ),
    (
        "Capacity",
        &[
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 64..8",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 16",
            "capacity --model gpt3-1.3b --cluster a100x16 --devices 12",
            "capacity --model gpt3-1.3b --cluster a100x8,a100x8",
            "capacity --model gpt3-1.3b --cluster a100x8,a100x16",
            "capacity --model gpt3-1.3b --cluster a100x128,h100x8",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --tp 16",
            "capacity --model gpt3-175b --cluster a100x8 --devices 8",
            "capacity --model gpt3-175b --cluster a100x64 --devices 64 --tp 1 --recompute none",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --budget 5EUR",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --price h100=2",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --time-limit 1ns",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --deadline 1h --no-report --format csv",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --budget 5k --no-report --format csv",
            "capacity --model gpt3-1.3b --cluster a100x8 --devices 8 --deadline 1h --budget 5k --no-report --format csv",
        ],
    ),
    (
        "Where output goes",
        &[
            "simulate --model gpt3-1.3b --cluster a100x8 --plan best/plan.yaml -o best",
            "search --model gpt3-1.3b --cluster a100x8 -o plan.yaml",
            "export megatron best -o plan.yaml",
            "list planets",
            "serach --model gpt3-175b --cluster a100x64",
        ],
    ),
];

/// A folder with what the commands name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let job = ["--model", "gpt3-1.3b", "--cluster", "a100x8", "--global-batch", "32", "-o", "best"];
    lmplan(folder.path()).arg("search").args(job).assert().success();
    let plan = std::fs::read_to_string(folder.path().join("best/plan.yaml")).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("plan.yaml", &plan);
    put("broken.yaml", "name: broken\nfamily: gtp\nnum_layers: 12\n");
    std::fs::create_dir(folder.path().join("models")).unwrap();
    folder
}

fn lmplan(folder: &Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::cargo_bin("lmplan").unwrap();
    command.current_dir(folder).env("NO_COLOR", "1").env("COLUMNS", "96");
    command
}

#[test]
fn wrong_inputs_are_told_what_the_page_says() {
    let folder = folder();
    let mut page = String::from(
        "# What is said to wrong inputs\n\nEach message names what was found and what to do instead, \
         and what is possible where that is a\nshort list. What is proposed has been looked up or \
         tried: values divide as they have to, plans \"fit\" by\ntheir memory with layers spread \
         evenly, clusters and stacks are in the catalogue. Not tried: whether more\ndevices keep a \
         deadline, where a command that searches for it is given, and whether a value that \
         divides\nfits the memory, where nothing is said of memory. A test runs every command and \
         compares\n(`BLESS=1 cargo test --test it messages` writes the page anew). Exit codes are \
         those of\n[README.md](../README.md#for-scripts). `best/` holds a report of GPT-3 1.3B on 8 \
         A100 with a global batch of\n32, `plan.yaml` its plan alone.\n",
    );
    let mut count = 0;
    for (title, commands) in PARTS {
        write!(page, "\n## {title}\n").unwrap();
        for command in commands {
            count += 1;
            let output = lmplan(folder.path()).args(command.split(' ')).output().unwrap();
            let code = output.status.code().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!((2..=8).contains(&code), "lmplan {command}: {code}\n{said}");
            assert!(said.starts_with("error"), "lmplan {command}: {said}");
            // How clap ends is the same everywhere.
            let said = said.replace("\n\nFor more information, try '--help'.", "");
            write!(page, "\n```console\n$ lmplan {command}\n{}\n[{code}]\n```\n", said.trim_end())
                .unwrap();
        }
    }
    assert!(count >= 50, "{count} wrong inputs");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(path, page).unwrap();
    }
    let before = std::fs::read_to_string(path).unwrap_or_default();
    for (number, (before, now)) in before.lines().zip(page.lines()).enumerate() {
        assert_eq!(before, now, "docs/messages.md:{}", number + 1);
    }
    assert_eq!(before.lines().count(), page.lines().count(), "docs/messages.md");
}
