//! Eigenvalues of symmetric matrices.
//!
//! Householder's reduction to a tridiagonal matrix, then QL with implicit shifts (Golub & Van Loan, 8.3), without
//! eigenvectors: about 4/3 n³ multiplications. Only + − × ÷ and square roots, in one order: the same bits on every target.

/// More steps than any eigenvalue needs; they converge cubically.
const MOST_STEPS: usize = 64;

/// The eigenvalues of a symmetric matrix \[n, n\], row by row, in ascending order. Only the lower triangle is read. NaN,
/// n times, where an entry is not finite.
///
/// # Panics
/// Where `matrix` does not have n² entries.
///
/// ```
/// use udasa_plugin_sdk::math::eigen::symmetric_eigenvalues;
/// let values = symmetric_eigenvalues(2, &[2.0, 1.0, 1.0, 2.0]);
/// assert!((values[0] - 1.0).abs() < 1e-15 && (values[1] - 3.0).abs() < 1e-15);
/// ```
pub fn symmetric_eigenvalues(n: usize, matrix: &[f64]) -> Vec<f64> {
    assert_eq!(matrix.len(), n * n, "a matrix of {n} rows and columns");
    let largest = matrix.iter().fold(0.0_f64, |most, x| if x.abs() > most { x.abs() } else { most });
    if matrix.iter().any(|x| !x.is_finite()) {
        return vec![f64::NAN; n];
    }
    if largest == 0.0 {
        return vec![0.0; n];
    }
    // In units of the largest entry no square overflows.
    let mut a: Vec<f64> = matrix.iter().map(|x| x / largest).collect();
    let (mut diagonal, mut beside) = tridiagonal(n, &mut a);
    if !diagonalise(&mut diagonal, &mut beside) {
        return vec![f64::NAN; n];
    }
    diagonal.iter_mut().for_each(|x| *x *= largest);
    diagonal.sort_unstable_by(f64::total_cmp);
    diagonal
}

/// Householder reflections from the last row up; gives the diagonal, and beside\[i\] = entry (i, i − 1). Destroys `a`.
fn tridiagonal(n: usize, a: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    for i in (1..n).rev() {
        let (above, below) = a.split_at_mut(i * n);
        let v = &mut below[..i];
        let norm2: f64 = v[..i - 1].iter().map(|x| x * x).sum();
        let last = v[i - 1];
        if norm2 == 0.0 {
            beside[i] = last;
            continue;
        }
        let norm = (norm2 + last * last).sqrt();
        let head = if last >= 0.0 { -norm } else { norm };
        beside[i] = head;
        v[i - 1] = last - head;
        // ½ |v|², without cancellation.
        let half = norm2 + last * last - last * head;
        // p = A v / half, kept where later rows will write.
        let p = &mut beside[..i];
        p.fill(0.0);
        for j in 0..i {
            let row = &above[j * n..j * n + j];
            let mut dot = above[j * n + j] * v[j];
            for ((x, v_k), p_k) in row.iter().zip(v.iter()).zip(p.iter_mut()) {
                dot += x * v_k;
                *p_k += x * v[j];
            }
            p[j] += dot;
        }
        let mut along = 0.0;
        for (p_j, v_j) in p.iter_mut().zip(v.iter()) {
            *p_j /= half;
            along += *p_j * v_j;
        }
        let along = along / (half + half);
        for (p_j, v_j) in p.iter_mut().zip(v.iter()) {
            *p_j -= along * v_j;
        }
        for j in 0..i {
            let row = &mut above[j * n..=j * n + j];
            for (k, x) in row.iter_mut().enumerate() {
                *x -= v[j] * p[k] + p[j] * v[k];
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), beside)
}

/// Turns a tridiagonal matrix into its eigenvalues, in `d`. False where it does not converge.
fn diagonalise(d: &mut [f64], beside: &mut [f64]) -> bool {
    let n = d.len();
    // e[i] = entry (i + 1, i).
    beside.rotate_left(1);
    let e = beside;
    e[n - 1] = 0.0;
    for first in 0..n {
        let mut steps = 0;
        loop {
            let negligible = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[*m + 1].abs());
            let last = (first..n - 1).find(negligible).unwrap_or(n - 1);
            if last == first {
                break;
            }
            steps += 1;
            if steps > MOST_STEPS {
                return false;
            }
            ql_step(&mut d[first..=last], &mut e[first..=last]);
        }
    }
    true
}

/// One implicit QL step on an unreduced block.
fn ql_step(d: &mut [f64], e: &mut [f64]) {
    let last = d.len() - 1;
    let slope = (d[1] - d[0]) / (2.0 * e[0]);
    let root = length(slope, 1.0);
    let mut g = d[last] - d[0] + e[0] / (slope + if slope >= 0.0 { root } else { -root });
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for i in (0..last).rev() {
        let (f, b) = (sine * e[i], cosine * e[i]);
        let r = length(f, g);
        e[i + 1] = r;
        if r == 0.0 {
            // The block has fallen apart here.
            d[i + 1] -= shift;
            e[last] = 0.0;
            return;
        }
        sine = f / r;
        cosine = g / r;
        g = d[i + 1] - shift;
        let turned = (d[i] - g) * sine + 2.0 * cosine * b;
        shift = sine * turned;
        d[i + 1] = g + shift;
        g = cosine * turned - b;
    }
    d[0] -= shift;
    e[0] = g;
    e[last] = 0.0;
}

/// √(a² + b²) of numbers of a size whose squares neither overflow nor all vanish.
fn length(a: f64, b: f64) -> f64 {
    let (a, b) = (a.abs(), b.abs());
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large == 0.0 {
        return 0.0;
    }
    let ratio = small / large;
    large * (1.0 + ratio * ratio).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Jacobi's rotations: another method, to compare with.
    fn jacobi(n: usize, matrix: &[f64]) -> Vec<f64> {
        let mut a = matrix.to_vec();
        for _ in 0..50 {
            for p in 0..n {
                for q in p + 1..n {
                    if a[p * n + q] == 0.0 {
                        continue;
                    }
                    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                    let c = 1.0 / (t * t + 1.0).sqrt();
                    let s = t * c;
                    for k in 0..n {
                        let (x, y) = (a[k * n + p], a[k * n + q]);
                        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                    }
                    for k in 0..n {
                        let (x, y) = (a[p * n + k], a[q * n + k]);
                        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    }
                }
            }
        }
        let mut values: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn random(n: usize, seed: u64, number: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let x = number(rng.uniform());
                (matrix[i * n + j], matrix[j * n + i]) = (x, x);
            }
        }
        matrix
    }

    fn near(a: &[f64], b: &[f64], scale: f64) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= 1e-12 * scale, "{a:?}\n{b:?}");
        }
    }

    #[test]
    fn it_agrees_with_jacobi_on_random_matrices_of_any_size_and_scale() {
        for seed in 0..60 {
            let n = 1 + seed as usize % 24;
            let scale = [1.0, 1e-200, 1e200][seed as usize % 3];
            let matrix = random(n, seed, |x| (x - 0.5) * scale);
            let units: Vec<f64> = matrix.iter().map(|x| x / scale).collect();
            let found: Vec<f64> = symmetric_eigenvalues(n, &matrix).iter().map(|x| x / scale).collect();
            near(&found, &jacobi(n, &units), n as f64);
        }
    }

    #[test]
    fn matrices_with_zeros_and_equal_eigenvalues() {
        near(&symmetric_eigenvalues(3, &[0.0; 9]), &[0.0; 3], 1.0);
        near(&symmetric_eigenvalues(3, &[1.0; 9]), &[0.0, 0.0, 3.0], 1.0);
        near(&symmetric_eigenvalues(3, &[2.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 2.0]), &[-1.0, 2.0, 2.0], 1.0);
        let binary = random(12, 3, |x| if x < 0.5 { 0.0 } else { 1.0 });
        near(&symmetric_eigenvalues(12, &binary), &jacobi(12, &binary), 12.0);
        assert!(symmetric_eigenvalues(0, &[]).is_empty());
        assert_eq!(symmetric_eigenvalues(1, &[-7.0]), [-7.0]);
    }

    #[test]
    fn what_is_not_finite_gives_nan_and_comes_to_an_end() {
        for odd in [f64::NAN, f64::INFINITY] {
            let values = symmetric_eigenvalues(2, &[1.0, odd, odd, 1.0]);
            assert!(values.len() == 2 && values.iter().all(|x| x.is_nan()));
        }
    }
}
