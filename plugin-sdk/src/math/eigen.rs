//! Eigenvalues of a symmetric matrix: Householder's reduction to three diagonals, then QL with implicit shifts
//! (EISPACK's `tred1` and `imtql1`; Press et al., Numerical Recipes, §11.3–11.4). Only +, ·, ÷ and √, in one order: the
//! same bits on every target.

/// More sweeps than any finite matrix needs for one eigenvalue; one that holds a NaN would never end.
const SWEEPS: usize = 60;

/// The eigenvalues of a symmetric matrix of `n` rows, ascending. `matrix` is row by row; the part above the diagonal is
/// not read.
///
/// ```
/// use udasa_plugin_sdk::math::eigen::symmetric_eigenvalues;
/// let values = symmetric_eigenvalues(vec![2.0, 1.0, 1.0, 2.0], 2);
/// assert!((values[0] - 1.0).abs() < 1e-15 && (values[1] - 3.0).abs() < 1e-15);
/// ```
///
/// # Panics
///
/// If `matrix` does not have `n` rows of `n` numbers.
pub fn symmetric_eigenvalues(mut matrix: Vec<f64>, n: usize) -> Vec<f64> {
    assert_eq!(matrix.len(), n * n, "a square matrix of {n} rows");
    let (mut diagonal, mut beside) = three_diagonals(&mut matrix, n);
    implicit_ql(&mut diagonal, &mut beside);
    diagonal.sort_unstable_by(f64::total_cmp);
    diagonal
}

/// The diagonal, and the numbers left of it (`beside[i]` is at row i, column i − 1; `beside[0]` is 0), of a tridiagonal
/// matrix with the same eigenvalues.
fn three_diagonals(a: &mut [f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    for i in (1..n).rev() {
        let (above, row) = a.split_at_mut(i * n);
        let row = &mut row[..i];
        let scale: f64 = row.iter().map(|x| x.abs()).sum();
        if i == 1 || scale == 0.0 {
            beside[i] = row[i - 1];
            continue;
        }
        let mut h = 0.0;
        for x in &mut *row {
            *x /= scale;
            h += *x * *x;
        }
        let f = row[i - 1];
        let g = if f >= 0.0 { -h.sqrt() } else { h.sqrt() };
        beside[i] = scale * g;
        h -= f * g;
        row[i - 1] = f - g;
        // p = A u / h, then K = u·p / 2h, then A ← A − q uᵀ − u qᵀ with q = p − K u.
        let mut sum = 0.0;
        for j in 0..i {
            let left: f64 = (0..=j).map(|k| above[j * n + k] * row[k]).sum();
            let right: f64 = (j + 1..i).map(|k| above[k * n + j] * row[k]).sum();
            beside[j] = (left + right) / h;
            sum += beside[j] * row[j];
        }
        let half = sum / (h + h);
        for j in 0..i {
            let f = row[j];
            let g = beside[j] - half * f;
            beside[j] = g;
            for k in 0..=j {
                above[j * n + k] -= f * beside[k] + g * row[k];
            }
        }
    }
    if let Some(first) = beside.first_mut() {
        *first = 0.0;
    }
    ((0..n).map(|i| a[i * n + i]).collect(), beside)
}

/// Turns the diagonal of a tridiagonal matrix into its eigenvalues.
fn implicit_ql(d: &mut [f64], e: &mut [f64]) {
    let n = d.len();
    if n < 2 {
        return;
    }
    e.rotate_left(1);
    for l in 0..n {
        for _ in 0..SWEEPS {
            let small = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[*m + 1].abs());
            let m = (l..n - 1).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = (g * g + 1.0).sqrt();
            let mut g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = (f * f + g * g).sqrt();
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    split = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                let r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if !split {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// A random symmetric matrix with entries in [−1, 1).
    fn random(rng: &mut Rng, n: usize) -> Vec<f64> {
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let x = 2.0 * rng.uniform() - 1.0;
                a[i * n + j] = x;
                a[j * n + i] = x;
            }
        }
        a
    }

    /// The number of eigenvalues below `x`, by Sylvester's law: the negative pivots of A − xI.
    fn below(a: &[f64], n: usize, x: f64) -> usize {
        let mut a = a.to_vec();
        (0..n).for_each(|i| a[i * n + i] -= x);
        let mut negative = 0;
        for k in 0..n {
            let pivot = a[k * n + k];
            negative += usize::from(pivot < 0.0);
            for i in k + 1..n {
                let factor = a[i * n + k] / pivot;
                (k..n).for_each(|j| a[i * n + j] -= factor * a[k * n + j]);
            }
        }
        negative
    }

    #[test]
    fn every_value_lies_where_the_pivots_of_a_shifted_matrix_change_sign() {
        let mut rng = Rng::new(7);
        for n in 1..=24 {
            let a = random(&mut rng, n);
            let values = symmetric_eigenvalues(a.clone(), n);
            for (i, value) in values.iter().enumerate() {
                assert!(below(&a, n, value - 1e-9) <= i, "n = {n}, value {i}: {value} is too high");
                assert!(below(&a, n, value + 1e-9) > i, "n = {n}, value {i}: {value} is too low");
            }
        }
    }

    #[test]
    fn trace_and_squares_are_kept() {
        let mut rng = Rng::new(11);
        for n in [2, 3, 20, 60] {
            let a = random(&mut rng, n);
            let values = symmetric_eigenvalues(a.clone(), n);
            let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
            let squares: f64 = a.iter().map(|x| x * x).sum();
            assert!((values.iter().sum::<f64>() - trace).abs() < 1e-10);
            assert!((values.iter().map(|x| x * x).sum::<f64>() - squares).abs() < 1e-9);
        }
    }

    #[test]
    fn known_spectra_and_edges() {
        assert!(symmetric_eigenvalues(Vec::new(), 0).is_empty());
        assert_eq!(symmetric_eigenvalues(vec![-3.0], 1), [-3.0]);
        assert_eq!(symmetric_eigenvalues(vec![0.0; 9], 3), [0.0; 3]);
        let identity: Vec<f64> = (0..16).map(|k| f64::from(k % 5 == 0)).collect();
        assert_eq!(symmetric_eigenvalues(identity, 4), [1.0; 4]);
        // All ones: n once, else 0.
        let ones = symmetric_eigenvalues(vec![1.0; 400], 20);
        assert!((ones[19] - 20.0).abs() < 1e-12 && ones[..19].iter().all(|x| x.abs() < 1e-12));
        // The path 2, −1: 2 − 2 cos(kπ/(n+1)).
        let n = 9;
        let mut path = vec![0.0; n * n];
        for i in 0..n {
            path[i * n + i] = 2.0;
            if i > 0 {
                path[i * n + i - 1] = -1.0;
                path[(i - 1) * n + i] = -1.0;
            }
        }
        for (k, value) in symmetric_eigenvalues(path, n).iter().enumerate() {
            let known = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - known).abs() < 1e-13, "{value} {known}");
        }
    }

    #[test]
    fn a_matrix_that_holds_a_nan_ends_too() {
        assert_eq!(symmetric_eigenvalues(vec![f64::NAN; 9], 3).len(), 3);
    }
}
