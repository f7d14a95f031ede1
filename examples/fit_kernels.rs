//! Fits the constants of the device files on measured kernels and prints them with their errors:
//! `cargo run --release --example fit_kernels -- tests/data/kernels hardware/devices`.
use lmplan::cost::DeviceModel;
use lmplan::cost::fit::*;
use lmplan::graph::Kernel;
use lmplan::spec::*;
use lmplan::units::*;
trait M { fn measured_time(&self, r: &MeasuredKernel) -> Seconds; }
impl M for DeviceModel { fn measured_time(&self, r: &MeasuredKernel) -> Seconds {
  let k = self.kernel_time(&r.kernel).seconds();
  if r.beside == Bytes::ZERO { k } else { k + self.kernel_time(&Kernel::Memory{ pass: lmplan::graph::PassKind::Copy, read: r.beside, written: Bytes::ZERO, launches: 1}).seconds() } } }
fn main() {
    let dir = "tests/data/kernels";
    let all = read_products(&std::fs::read_to_string(format!("{dir}/gemm_bf16.csv")).unwrap());
    let att = read_attention(&std::fs::read_to_string(format!("{dir}/attention_forward_bf16.csv")).unwrap());
    for (gpu, peak, bw, sms, lat) in [
        ("a100_sxm", 312e12, 2.039e12, 108u64, 4e-6),
        ("h100_sxm", 989.4e12, 3.35e12, 132, 2.6e-6),
        ("h200_sxm", 989.4e12, 4.8e12, 132, 2.6e-6),
        ("b200_sxm", 2250e12, 8e12, 148, 1.8e-6),
        ("gb200", 2500e12, 8e12, 152, 1.8e-6),
        ("l40s", 362e12, 864e9, 142, 2e-6),
    ] {
        let rows: Vec<_> = all.iter().filter(|r| r.device == gpu).collect();
        let key = |r: &MeasuredKernel| match r.kernel { Kernel::Gemm { m, n, k, .. } => m.min(n).min(k), _ => 0 };
        let train: Vec<_> = rows.iter().filter(|r| key(r) >= 128).copied().collect();
        let dev = |p: &[f64]| DeviceSpec {
            name: gpu.into(), peak: [(Precision::Bf16Mixed, FlopsPerSecond::new(peak))].into(),
            memory: Bytes::new(80 << 30), memory_bandwidth: BytesPerSecond::new(bw), sm_count: sms,
            host_bandwidth: BytesPerSecond::new(1.), power: Watts::new(1.0), link: None, price_per_hour: None, source: None,
            kernels: KernelConstants { matmul_efficiency: p[0], sustained_clock: 1.0, memory_efficiency: p[1],
              l2_bandwidth: BytesPerSecond::new(p[2]), kernel_latency: Seconds::new(p[3]), matmul_prologue_k: p[4],
              wave_quantisation: p[5], attention_efficiency: (p[6], p[6]), softmax_flops: p[7], attention_latency: Seconds::new(p[8]), attention_prologue_keys: p[9], provenance: String::new() },
        };
        let loss = |p: &[f64]| {
            let d = DeviceModel::new(&dev(p), Precision::Bf16Mixed);
            train.iter().map(|r| (d.measured_time(r) / r.time).ln().abs()).sum::<f64>() / train.len() as f64
        };
        let s = [0.8, 0.8, bw * 3.0, lat, 100.0, 0.7, 0.6, 100.0, 10e-6, 100.0];
        let b = [(0.3, 1.0), (0.4, 1.0), (bw, bw * 20.), (0.3e-6, 10e-6), (1., 2000.), (0.05, 1.0)];
        let (p,l) = [2.0, 8.0].map(|f| { let mut s = s; s[2] = bw*f; coordinate_descent(&s, &b, loss)}).into_iter().min_by(|a,b| a.1.total_cmp(&b.1)).unwrap();
        println!("{gpu} loss {l:.4} {:?}", &p[..6]);
        let d = DeviceModel::new(&dev(&p), Precision::Bf16Mixed);
        for lim in [1, 128, 256] {
            let e = FitError::over(rows.iter().filter(|r| key(r) >= lim).map(|r| (d.measured_time(r), r.time)));
            println!("   >= {lim}: {e:.3?}");
        }
        let big: Vec<f64> = vec![];
        let _ = big;
        let at: Vec<_> = att.iter().filter(|r| r.device == gpu).collect();
        let loss = |q: &[f64]| {
            let mut p = p.clone(); p[6] = q[0]; p[7] = q[1]; p[8] = q[2]; p[9] = q[3];
            let d = DeviceModel::new(&dev(&p), Precision::Bf16Mixed);
            at.iter().map(|r| (d.measured_time(r) / r.time).ln().abs()).sum::<f64>() / at.len() as f64
        };
        let (q, l) = coordinate_descent(&[0.6, 100.0, 10e-6, 100.0], &[(0.1, 1.0), (1.0, 2000.0), (1e-6, 100e-6), (1.0,1000.0)], loss);
        println!("   attention {l:.4} {q:?}");
        let mut p2 = p.clone(); p2[6] = q[0]; p2[7] = q[1]; p2[8] = q[2]; p2[9] = q[3];
        let d = DeviceModel::new(&dev(&p2), Precision::Bf16Mixed);
        for (lo, hi) in [(0u64, 1000000u64), (60, 130)] { for sl in [0, 1024] {
            let e = FitError::over(at.iter().filter(|r| matches!(r.kernel, Kernel::FlashAttention{head_dim, query_length, ..} if head_dim>=lo && head_dim<=hi && query_length>=sl)).map(|r| (d.measured_time(r), r.time)));
            println!("   att hd {lo}..{hi} s>={sl}: {e:.3?}");
        }}
        if std::env::args().nth(1).as_deref() == Some(gpu) {
            for r in train.iter().step_by(23) { let t = d.measured_time(r); if let Kernel::Gemm{m,n,k,..}=r.kernel { println!("{m} {n} {k} meas {:.1} pred {:.1} ratio {:.2}", r.time.get()*1e6, t.get()*1e6, t/r.time);} }
            for r in at.iter().step_by(20) { let t = d.measured_time(r); println!("{:?} meas {:.1} pred {:.1} ratio {:.2}", r.kernel, r.time.get()*1e6, t.get()*1e6, t/r.time);}
        }
    }
}
