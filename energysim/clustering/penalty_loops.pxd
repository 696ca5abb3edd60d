# C types for penalty_loops.py.
cimport cython

ctypedef fused Value:
    float
    double

@cython.locals(length=cython.longlong, i=cython.longlong, j=cython.longlong, label=cython.longlong, x=double, squares=double)
cpdef double cluster_sums(const Value[:, ::1] samples, const int[::1] labels, double[:, ::1] sums) except -1.0

@cython.locals(length=cython.longlong, i=cython.longlong, j=cython.longlong, label=cython.longlong)
cpdef int off_means(const Value[:, ::1] samples, const int[::1] labels, const Value[:, ::1] means, Value scale, Value[:, ::1] out) except -1

@cython.locals(length=cython.longlong, rank=cython.longlong, i=cython.longlong, j=cython.longlong, k=cython.longlong, x=double, squares=double)
cpdef double projected(const Value[:, ::1] samples, const Value[:, ::1] basis, double[:, ::1] inside) except -1.0

@cython.locals(length=cython.longlong, rank=cython.longlong, i=cython.longlong, j=cython.longlong, k=cython.longlong, x=double)
cpdef int off_basis(const Value[:, ::1] samples, const Value[:, ::1] basis, const double[:, ::1] inside, double scale, Value[:, ::1] out) except -1

@cython.locals(n=cython.longlong, place=cython.longlong, squares=double, a=double, b=double, c=double, d=double, e=double, f=double, g=double, h=double, i=double, u=double, v=double, w=double, x=double, y=double, z=double)
cdef double _projected_3(const Value[:, ::1] samples, const Value[:, ::1] basis, double[:, ::1] inside) except -1.0

@cython.locals(n=cython.longlong, a=double, b=double, c=double, d=double, e=double, f=double, g=double, h=double, i=double, u=double, v=double, w=double, x=double, y=double, z=double)
cdef int _off_basis_3(const Value[:, ::1] samples, const Value[:, ::1] basis, const double[:, ::1] inside, double scale, Value[:, ::1] out) except -1
