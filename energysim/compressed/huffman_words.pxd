# C types for huffman_words.py.
cimport cython

@cython.locals(count=cython.longlong, longest=cython.longlong, last=cython.longlong, at=cython.longlong, i=cython.longlong, b=cython.longlong, stop=cython.longlong, byte=cython.longlong, length=cython.longlong, known=cython.longlong, window=cython.ulonglong)
cpdef int decode_blocks(const unsigned char[::1] stream, const long long[::1] ends, const long long[::1] order, const long long[::1] first, const long long[::1] before, const long long[::1] limits, const long long[::1] table, unsigned int[::1] out, long long block) except -1
