# C types for search_windows.py; without a compiler the module runs as plain Python.
cimport cython

ctypedef long long integer

cdef integer LANE, FIRST, SECOND, SEED

cdef class Windows:
    cdef integer[::1] steps, bounds, passes, keys, values, places
    cdef unsigned char[::1] tile, needed
    cdef integer used, code, loops, u, v, p, r
    cpdef void begin(self, integer u, integer v, integer p, integer r) noexcept
    @cython.locals(one=integer, other=integer)
    cdef integer mixed(self, integer code, integer number)
    cpdef void spread(self, integer step, integer bound, integer passes) noexcept
    @cython.locals(code=integer, mask=integer, slot=integer, found=integer)
    cpdef integer kept(self, integer shift)
    @cython.locals(mask=integer, i=integer, slot=integer)
    cdef void grow(self)
    @cython.locals(n=integer, u=integer, v=integer, p=integer, r=integer)
    cdef integer reach(self)
    @cython.locals(length=integer, step=integer, bound=integer, near=integer, number=integer, total=integer, last=integer, k=integer, place=integer, start=integer)
    cdef integer counted(self, integer shift)
    @cython.locals(number=integer, n=integer, i=integer, k=integer, place=integer)
    cdef integer sorted_places(self)
    @cython.locals(number=integer, length=integer, n=integer, whole=integer, x=integer, i=integer, j=integer, k=integer, place=integer, total=integer)
    cdef integer counted_one_by_one(self, integer shift)
