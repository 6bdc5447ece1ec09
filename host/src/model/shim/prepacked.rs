//! A matrix laid out once for many products, by MKL, which libtorch brings along: for a product with few rows it otherwise spends up to
//! as long on laying the matrix out as on multiplying. Its functions are looked up at run time; where libtorch was built without it,
//! nothing is prepacked.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use memmap2::MmapMut;
use tch::{Device, Kind, Tensor};

use super::fused::{fits, fits_as_weight};

/// `cblas_sgemm_pack_get_size(identifier, m, n, k)`: bytes.
type Size = unsafe extern "C" fn(c_int, c_int, c_int, c_int) -> usize;
/// `cblas_sgemm_pack(layout, identifier, transpose, m, n, k, alpha, source, its row, packed)`.
type Pack = unsafe extern "C" fn(c_int, c_int, c_int, c_int, c_int, c_int, f32, *const c_void, c_int, *mut c_void);
/// `cblas_sgemm_compute(layout, transpose a, transpose b, m, n, k, a, its row, b, its row, beta, c, its row)`.
type Compute = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_void,
    c_int,
    *const c_void,
    c_int,
    f32,
    *mut c_void,
    c_int,
);

// Of mkl_cblas.h.
const ROW_MAJOR: c_int = 101;
const NOT_TRANSPOSED: c_int = 111;
const TRANSPOSED: c_int = 112;
const PACKED: c_int = 151;
const SECOND_MATRIX: c_int = 162;

/// Rows that a layout is made for; it serves any number, a few rows the worse the fewer it was made for.
const ROWS: c_int = 128;

struct Mkl {
    size: Size,
    pack: Pack,
    compute: Compute,
}

#[cfg(unix)]
fn mkl() -> Option<&'static Mkl> {
    static MKL: OnceLock<Option<Mkl>> = OnceLock::new();
    MKL.get_or_init(|| {
        let program = libloading::os::unix::Library::this();
        // SAFETY: the three are MKL's, and have these signatures in the interface that libtorch links, which has 32-bit integers (LP64).
        unsafe {
            Some(Mkl {
                size: *program.get(b"cblas_sgemm_pack_get_size\0").ok()?,
                pack: *program.get(b"cblas_sgemm_pack\0").ok()?,
                compute: *program.get(b"cblas_sgemm_compute\0").ok()?,
            })
        }
    })
    .as_ref()
}

#[cfg(not(unix))]
fn mkl() -> Option<&'static Mkl> {
    None
}

/// A matrix `[out, in]` as MKL wants it.
pub struct Prepacked {
    /// As large as MKL says, of which it fills what the matrix takes: pages of their own, because the rest never becomes memory.
    matrix: MmapMut,
    mkl: &'static Mkl,
    input: c_int,
    out: c_int,
}

impl Prepacked {
    /// Of a contiguous f32 or bf16 matrix `[out, in]`, or `[in, out]` where `transposed`, on the CPU, in f32; none of any other, of one that
    /// is being trained, without MKL, or where there is no memory for it. What becomes of the matrix later does not show. Of a bf16 one an
    /// f32 copy is made for the time being.
    pub fn new(matrix: &Tensor, transposed: bool) -> Option<Self> {
        let whole = matrix.dim() == 2 && matrix.is_contiguous() && matrix.numel() > 0;
        if !fits_as_weight(matrix) || !whole || matrix.requires_grad() {
            return None;
        }
        let mkl = mkl()?;
        let matrix = matrix.f_to_kind(Kind::Float).ok()?;
        let [rows, columns] = [matrix.size()[0], matrix.size()[1]].map(c_int::try_from);
        let (rows, columns) = (rows.ok()?, columns.ok()?);
        let (out, input, way) = if transposed { (columns, rows, NOT_TRANSPOSED) } else { (rows, columns, TRANSPOSED) };
        // SAFETY: plain numbers.
        let bytes = unsafe { (mkl.size)(SECOND_MATRIX, ROWS, out, input) };
        let mut packed = MmapMut::map_anon(bytes).ok()?;
        // SAFETY: the matrix is live and contiguous, of these sizes, and the room for what is made of it is as large as MKL says.
        unsafe {
            let (from, to) = (matrix.data_ptr().cast_const(), packed.as_mut_ptr().cast());
            (mkl.pack)(ROW_MAJOR, SECOND_MATRIX, way, ROWS, out, input, 1.0, from, columns, to);
        }
        Some(Self { matrix: packed, mkl, input, out })
    }

    /// `x` `[…, in]`, f32 on the CPU, times the matrix: `[…, out]`. Without a gradient.
    pub fn times(&self, x: &Tensor) -> Tensor {
        let mut shape = x.size();
        let rows = x.numel() as i64 / i64::from(self.input);
        assert!(
            fits(x)
                && shape.last() == Some(&i64::from(self.input))
                && !x.requires_grad()
                && c_int::try_from(rows).is_ok(),
            "a prepacked matrix of {} inputs was given {x:?}",
            self.input
        );
        if let Some(last) = shape.last_mut() {
            *last = i64::from(self.out);
        }
        let x = x.contiguous();
        let y = Tensor::empty(&shape[..], (Kind::Float, Device::Cpu));
        if rows > 0 {
            // SAFETY: live, contiguous f32 tensors of these sizes; the matrix was packed for them by `new`.
            unsafe {
                let (a, b) = (x.data_ptr().cast_const(), self.matrix.as_ptr().cast());
                let (m, n, k) = (rows as c_int, self.out, self.input);
                (self.mkl.compute)(ROW_MAJOR, NOT_TRANSPOSED, PACKED, m, n, k, a, k, b, n, 0.0, y.data_ptr(), n);
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepacked_matrix_multiplies_any_number_of_rows_as_before() {
        let kinds = [Kind::Float, Kind::BFloat16];
        let sizes = [(1, 1), (7, 5), (48, 64), (1408, 384)];
        for ((out, input), kind) in sizes.into_iter().flat_map(|size| kinds.map(|kind| (size, kind))) {
            let matrix = Tensor::randn([out, input], (Kind::Float, Device::Cpu)).to_kind(kind);
            let (straight, turned) = (Prepacked::new(&matrix, false), Prepacked::new(&matrix.tr().contiguous(), true));
            let (Some(straight), Some(turned)) = (straight, turned) else {
                assert!(mkl().is_none());
                return;
            };
            for rows in [0, 1, 3, 8, 127, 200, 2100] {
                let x = Tensor::randn([1, rows, input], (Kind::Float, Device::Cpu));
                let exact = x.to_kind(Kind::Double).matmul(&matrix.to_kind(Kind::Double).tr());
                for y in [straight.times(&x), turned.times(&x)] {
                    assert_eq!(y.size(), [1, rows, out]);
                    let off = if rows == 0 { 0.0 } else { (y - &exact).abs().max().double_value(&[]) };
                    assert!(off < 1e-5 * (input as f64).max(16.0), "{out} × {input}, {rows} rows: {off}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_whole_matrix_or_is_trained_is_not_prepacked() {
        let matrix = Tensor::ones([4, 6], (Kind::Float, Device::Cpu));
        assert!(Prepacked::new(&matrix.to_kind(Kind::Double), false).is_none());
        assert!(Prepacked::new(&matrix.tr(), false).is_none());
        assert!(Prepacked::new(&matrix.view(-1), false).is_none());
        assert!(Prepacked::new(&matrix.copy().set_requires_grad(true), false).is_none());
        assert!(Prepacked::new(&matrix.narrow(0, 0, 0), false).is_none());
    }
}
