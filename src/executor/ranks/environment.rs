//! The rank that a launcher (torchrun, Slurm, MPI) gave this process.

/// One process among several that a launcher started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Number of this process.
    pub rank: u64,
    /// Processes.
    pub size: u64,
    /// Number of this process on its machine.
    pub local_rank: u64,
    /// Processes on its machine, where the launcher says so.
    pub local_size: Option<u64>,
    /// Host of the store where the processes meet.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The launcher serves the store; otherwise rank 0 does.
    pub served: bool,
    /// Tells this run from an earlier one in the same store.
    pub run: String,
}

/// The port of torch's launchers where none is given.
const PORT: u16 = 29_500;

/// Names of a launcher's variables.
struct Launcher {
    rank: &'static str,
    size: &'static str,
    local_rank: &'static str,
    /// Processes on this machine.
    local_size: &'static str,
}

/// In this order: torchrun's are set by hand as well. `SLURM_NTASKS` stands in a batch script also
/// where no step was started, `SLURM_STEP_NUM_TASKS` in the processes of a step alone.
const LAUNCHERS: [Launcher; 4] = [
    Launcher {
        rank: "RANK",
        size: "WORLD_SIZE",
        local_rank: "LOCAL_RANK",
        local_size: "LOCAL_WORLD_SIZE",
    },
    Launcher {
        rank: "OMPI_COMM_WORLD_RANK",
        size: "OMPI_COMM_WORLD_SIZE",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        local_size: "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    Launcher {
        rank: "SLURM_PROCID",
        size: "SLURM_STEP_NUM_TASKS",
        local_rank: "SLURM_LOCALID",
        local_size: "",
    },
    Launcher {
        rank: "PMI_RANK",
        size: "PMI_SIZE",
        local_rank: "MPI_LOCALRANKID",
        local_size: "MPI_LOCALNRANKS",
    },
];

/// What a launcher said, by the variables of the environment. None where this process is alone.
///
/// # Errors
/// Variables that are missing or no numbers, by name.
pub fn environment(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Environment>, String> {
    let there = |launcher: &&Launcher| {
        variable(launcher.rank).is_some() && variable(launcher.size).is_some()
    };
    let Some(launcher) = LAUNCHERS.iter().find(there) else { return Ok(None) };
    let number = |name: &str| -> Result<Option<u64>, String> {
        let Some(text) = variable(name) else { return Ok(None) };
        let parsed = text.trim().parse();
        parsed.map(Some).map_err(|_| format!("{name} is `{text}`, which is no whole number"))
    };
    let rank = number(launcher.rank)?.unwrap_or(0);
    let size = number(launcher.size)?.unwrap_or(1);
    if rank >= size {
        let (name, of) = (launcher.rank, launcher.size);
        return Err(format!("{name} is {rank} and {of} is {size}; ranks are counted from 0"));
    }
    if size == 1 {
        return Ok(None);
    }
    let local_size = number(launcher.local_size)?;
    let in_slurm = launcher.rank == "SLURM_PROCID";
    let host = match variable("MASTER_ADDR").filter(|host| !host.is_empty()) {
        Some(host) => host,
        None if local_size == Some(size) => "127.0.0.1".to_owned(),
        None => in_slurm
            .then(|| variable("SLURM_STEP_NODELIST"))
            .flatten()
            .and_then(|list| first_host(&list))
            .ok_or_else(|| {
                let name = launcher.rank;
                format!("{name} is set and MASTER_ADDR is not; set it to the host of rank 0")
            })?,
    };
    let port = match number("MASTER_PORT")? {
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("MASTER_PORT is {port}, which is no port"))?,
        // Jobs of one machine get ports of their own.
        None if in_slurm => 15_000 + (number("SLURM_JOB_ID")?.unwrap_or(0) % 10_000) as u16,
        None => PORT,
    };
    let of_run = ["TORCHELASTIC_RESTART_COUNT", "SLURM_STEP_ID"].map(variable);
    Ok(Some(Environment {
        rank,
        size,
        local_rank: number(launcher.local_rank)?.unwrap_or(rank),
        local_size,
        host,
        port,
        served: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
        run: of_run.into_iter().flatten().collect::<Vec<_>>().join("-"),
    }))
}

/// The first of a list of hosts as Slurm writes it: `a,b`, `node[003-007,9]-ib`.
fn first_host(list: &str) -> Option<String> {
    let end = list.find([',', '[']).unwrap_or(list.len());
    let (start, rest) = list.split_at(end);
    let host = match rest.strip_prefix('[') {
        None => start.to_owned(),
        Some(rest) => {
            let (numbers, after) = rest.split_once(']')?;
            let first = numbers.split([',', '-']).next()?;
            let after = after.split(',').next().unwrap_or_default();
            format!("{start}{first}{after}")
        }
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::{Environment, environment, first_host};

    fn read(variables: &[(&str, &str)]) -> Result<Option<Environment>, String> {
        environment(&|name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn alone_without_a_launcher_or_companions() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        // A batch script outside of a step.
        assert_eq!(read(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), Ok(None));
    }

    #[test]
    fn torchrun_serves_the_store() {
        let found = read(&[
            ("RANK", "9"),
            ("WORLD_SIZE", "16"),
            ("LOCAL_RANK", "1"),
            ("MASTER_ADDR", "node-a"),
            ("MASTER_PORT", "29400"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
        ]);
        let expected = Environment {
            rank: 9,
            size: 16,
            local_rank: 1,
            local_size: None,
            host: "node-a".to_owned(),
            port: 29_400,
            served: true,
            run: "2".to_owned(),
        };
        assert_eq!(found, Ok(Some(expected)));
    }

    #[test]
    fn slurm_names_the_host_by_its_list() {
        let found = read(&[
            ("SLURM_PROCID", "3"),
            ("SLURM_STEP_NUM_TASKS", "4"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_NODELIST", "gpu[07-08]"),
            ("SLURM_JOB_ID", "1234567"),
        ]);
        let found = found.unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.local_rank), (3, 4, 1));
        assert_eq!((found.host.as_str(), found.port, found.served), ("gpu07", 19_567, false));
        for (list, first) in [
            ("a,b", Some("a")),
            ("a", Some("a")),
            ("node[3-7,9]-ib,x", Some("node3-ib")),
            ("node[003,9]", Some("node003")),
            ("", None),
            ("n[1", None),
        ] {
            assert_eq!(first_host(list).as_deref(), first, "{list}");
        }
    }

    #[test]
    fn mpi_on_one_machine_needs_nothing_else() {
        for [rank, size, local] in [
            ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"],
            ["PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"],
        ] {
            let found = read(&[(rank, "1"), (size, "2"), (local, "2")]).unwrap().unwrap();
            assert_eq!((found.host.as_str(), found.port), ("127.0.0.1", 29_500), "{rank}");
            let error = read(&[(rank, "1"), (size, "4"), (local, "2")]).unwrap_err();
            assert!(error.contains("MASTER_ADDR"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (variables, what) in [
            ([("RANK", "x"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")], "RANK is `x`"),
            ([("RANK", "2"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a")], "counted from 0"),
            ([("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_PORT", "1")], "MASTER_ADDR"),
            ([("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "")], "MASTER_ADDR"),
        ] {
            let error = read(&variables).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        let port =
            [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "70000")];
        assert!(read(&port).unwrap_err().contains("no port"));
    }
}
