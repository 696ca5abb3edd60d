# C types for scalar_loops.py.
cimport cython

ctypedef fused Value:
    float
    double

ctypedef fused Mass:
    unsigned int
    double

@cython.locals(count=cython.longlong, last=cython.longlong, step=cython.longlong, at=cython.longlong, end=cython.longlong, s=cython.longlong, stop=cython.longlong, place=cython.longlong, best=double, cost=double, moment=double, of_mass=double, of_first=double, of_second=double)
cpdef int lower_row(double[::1] row, long long low, const double[::1] opened, long long begin, const double[::1] mass, const double[::1] first, const double[::1] second, long long[::1] chosen, long long from_row) except -1

@cython.locals(kept=double[:, ::1], middle=cython.longlong, way=cython.longlong, count=cython.longlong, at=cython.longlong, i=cython.longlong, of_mass=double, of_first=double, of_second=double, of_zero=double, part_mass=double, part_first=double, part_second=double, part_zero=double, m=double, x=double, z=double)
cpdef int kept_sums(const Value[::1] values, const Mass[::1] mass, double shift, double scale, long long step, double[:, ::1] above, double[:, ::1] below) except -1

@cython.locals(middle=cython.longlong, i=cython.longlong, at=cython.longlong, place=cython.longlong, upwards=cython.bint, steps=cython.longlong, low=cython.longlong, high=cython.longlong, of_mass=double, of_first=double, of_second=double, of_zero=double, m=double, x=double, z=double)
cpdef int sums_at(const Value[::1] values, const Mass[::1] mass, double shift, double scale, long long step, const double[:, ::1] above, const double[:, ::1] below, const long long[::1] places, double[:, ::1] found) except -1

@cython.locals(weighted=cython.bint, runs=cython.longlong, i=cython.longlong, value=Value, run=cython.longlong, left=cython.longlong, half=cython.longlong, rank=cython.longlong, gap=double, total=double)
cpdef double assign(const Value[::1] values, const Value[::1] weights, const Value[::1] firsts, const Value[::1] centroids, const long long[::1] ranks, long long[::1] labels) except -1.0

@cython.locals(i=cython.longlong, of_mass=double, first=double, first_low=double, second=double, second_low=double, m=double, x=double, term=double, total=double, part=double)
cpdef int fine_sums(const Value[::1] values, const Mass[::1] mass, double shift, double scale, double[:, ::1] sums) except -1

@cython.locals(mass=double, first=double, second=double)
cdef double _run_sse(const double[:, ::1] sums, long long start, long long end) noexcept

@cython.locals(count=cython.longlong, head=cython.longlong, tail=cython.longlong, e=cython.longlong, s=cython.longlong, at=cython.longlong, step=cython.longlong, high=cython.longlong, half=cython.longlong, here=double, before=double)
cpdef int penalised(const double[:, ::1] sums, double penalty, double[::1] least, int[::1] begins, int[::1] starts, int[::1] froms) except -1
