# C types for search_windows.py; without a compiler the module runs as plain Python.
cimport cython

ctypedef long long integer

cdef class Windows:
    cdef integer[::1] steps, bounds, passes, keys, values, places
    cdef unsigned char[::1] tile, needed
    cdef integer used, code, loops, u, v, p, r
    cpdef void begin(self, integer u, integer v, integer p, integer r)
    cdef integer mixed(self, integer code, integer number)
    cpdef void spread(self, integer step, integer bound, integer passes)
    cpdef integer kept(self, integer shift)
    cdef void grow(self)
    cdef integer reach(self)
    cdef integer counted(self, integer shift)
    cdef integer sorted_places(self)
    cdef integer counted_one_by_one(self, integer shift)
